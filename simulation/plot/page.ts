// The plot of a study as one file that needs nothing else: an SVG of three charts, or an HTML page
// around it. It follows the reader's choice of light or dark.

import type { StudyResult } from "../study/result.js";
import { type Chart, chartHeight, chartWidth, drawChart } from "./chart.js";
import { unitFor } from "./scale.js";
import { element, label, titleOf } from "./svg.js";

const head = 64;
const gap = 20;

/** Hues that stay apart for most colour-blind readers, on white and, lighter, on black. */
const style = `
svg { font-family: system-ui, sans-serif; }
.page { fill: #ffffff; } .title { font-size: 15px; font-weight: 600; fill: #1b1f24; }
.heading { font-size: 20px; font-weight: 700; fill: #1b1f24; }
.small { font-size: 12px; fill: #4d5661; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.grid { stroke: #d9dee4; stroke-width: 1; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .bound { fill: none; stroke: #4d5661;
stroke-width: 1.5; stroke-dasharray: 5 4; } .band { stroke: none; }
.c0 { --c: #2f6db5; } .c1 { --c: #d9822b; } .c2 { --c: #2a9d74; } .c3 { --c: #b04a8b; }
.c4 { --c: #8a7a1f; } .c5 { --c: #5ab4e0; } .c6 { --c: #c2423f; } .c7 { --c: #6f5bb5; }
.band, .dot { fill: var(--c); } .line { stroke: var(--c); }
@media (prefers-color-scheme: dark) {
.page { fill: #15181c; } .title, .heading { fill: #e8ecf0; } .small { fill: #a9b3bd; }
.grid { stroke: #30363d; } .bound { stroke: #a9b3bd; }
.c0 { --c: #6aa5ea; } .c1 { --c: #f0a860; } .c2 { --c: #55c79c; } .c3 { --c: #dc86bd; }
.c4 { --c: #c9b84e; } .c5 { --c: #8ed4f7; } .c6 { --c: #ee7e7a; } .c7 { --c: #a897ec; } }
`;

/** The charts of a result: devices, backlog, waits. */
function chartsOf({ tenants, series, devices }: StudyResult): readonly Chart[] {
  const names = tenants.map(({ tenant }) => tenant);
  const lines = (pick: (sample: (typeof series)[number], index: number) => number | null) =>
    names.map((name, index) => ({
      name,
      values: series.map((sample) => pick(sample, index)),
    }));
  return [
    {
      title: `Devices busy, of ${devices}`,
      yLabel: "devices",
      form: "stack",
      lines: lines(({ busy }, index) => busy[index] ?? 0),
      bound: { name: "up", values: series.map((sample) => sample.devices) },
    },
    {
      title: "Clips that wait",
      yLabel: "clips",
      form: "stack",
      lines: lines(({ backlog }, index) => backlog[index] ?? 0),
      bound: null,
    },
    {
      title: "Wait for the first device",
      yLabel: "mean wait (s)",
      form: "lines",
      lines: lines(({ waits }, index) => waits[index] ?? null),
      bound: null,
    },
  ];
}

/** The plot as an SVG document. */
export function svgPlot(result: StudyResult): string {
  const charts = chartsOf(result);
  const seconds = result.series.map(({ atMs }) => atMs / 1000);
  const unit = unitFor(seconds.at(-1) ?? 0);
  const height = head + charts.length * (chartHeight + gap);
  const percent = (100 * result.utilisation).toFixed(1);
  const body = charts.map((chart, index) =>
    drawChart(chart, { seconds, unit, y: head + index * (chartHeight + gap) }),
  );
  return element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      viewBox: `0 0 ${chartWidth} ${height}`,
      width: chartWidth,
      height,
      role: "img",
    },
    titleOf(`Simulated farm ${result.name}`),
    element("style", {}, style),
    element("rect", { width: chartWidth, height, class: "page" }),
    label(result.name, { x: 16, y: 28, class: "heading" }),
    label(
      `${result.devices} devices, busy ${percent} % of their time; seed ${result.seed}, simulated`,
      { x: 16, y: 48, class: "small" },
    ),
    ...body,
  );
}

/** The plot as an HTML page. */
export function htmlPlot(result: StudyResult): string {
  return [
    "<!doctype html>",
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width">',
    `<title>tocafarm simulate</title>`,
    "<style>body { margin: 0; display: flex; justify-content: center; background: #ffffff; }",
    "svg { max-width: 100%; height: auto; }",
    "@media (prefers-color-scheme: dark) { body { background: #15181c; } }</style></head>",
    `<body>${svgPlot(result)}</body></html>`,
    "",
  ].join("\n");
}
