// Quality over FLOPs: a point for each policy. A line joins those of one name that no other of that
// name beats for less. What lies higher at the same place is nearer to none for the same work.
import { element, label, pathOf, titleOf } from "../../simulation/plot/svg.js";
import type { PolicyFindings, Report } from "./report.js";

const width = 820;
const height = 420;
// On the right the names stand: the longest is of two policies in one.
const [left, right, top, bottom] = [64, 210, 40, 52] as const;
const plotWidth = width - left - right;
const plotHeight = height - top - bottom;
const gridDb = 5;
const gridPercent = 20;
const keyPixels = 20;

// Hues that stay apart for most colour-blind readers, on white and, lighter, on black.
const hues = [
  "#2f6db5",
  "#d9822b",
  "#2a9d74",
  "#b04a8b",
  "#8a7a1f",
  "#5ab4e0",
  "#c2423f",
  "#6f5bb5",
];
const huesOnBlack = [
  ...["#6aa5ea", "#f0a860", "#55c79c", "#dc86bd"],
  ...["#c9b84e", "#8ed4f7", "#ee7e7a", "#a897ec"],
];

/** Without variables, which some readers of SVG do not know. */
function colourRules(colours: readonly string[]): string {
  const rules = colours.map(
    (hue, index) =>
      `.scatter .c${index} .dot { fill: ${hue}; } .scatter .c${index} .line { stroke: ${hue}; }`,
  );
  return rules.join("\n");
}

const style = `.scatter { font-family: system-ui, sans-serif; } .scatter .page { fill: #fff; }
.scatter text { fill: #4d5661; font-size: 12px; } .scatter .grid { stroke: #d9dee4; }
.scatter .heading { fill: #1b1f24; font-size: 15px; } .scatter .end { text-anchor: end; }
.scatter .middle { text-anchor: middle; } .scatter .line { fill: none; stroke-width: 2; }
${colourRules(hues)}
@media (prefers-color-scheme: dark) { .scatter .page { fill: #15181c; }
.scatter .grid { stroke: #30363d; } .scatter text { fill: #a9b3bd; }
.scatter .heading { fill: #e8ecf0; }
${colourRules(huesOnBlack)} }`;

interface Point {
  readonly label: string;
  /** FLOPs in percent of none's. */
  readonly percent: number;
  readonly psnrDb: number;
}

/** An SVG document; every policy but none is in it. */
export function scatter({ policies }: Report): string {
  const series = seriesOf(policies);
  const all = [...series.values()].flat();
  const values = all.map(({ psnrDb }) => psnrDb);
  const low = gridDb * Math.floor(Math.min(...values) / gridDb);
  const high = Math.max(low + gridDb, gridDb * Math.ceil(Math.max(...values) / gridDb));
  const right100 = Math.max(100, ...all.map(({ percent }) => percent));
  const place = ({ percent, psnrDb }: Pick<Point, "percent" | "psnrDb">) =>
    [
      left + (percent / right100) * plotWidth,
      top + ((high - psnrDb) / (high - low)) * plotHeight,
    ] as const;
  const keyGap = Math.min(keyPixels, plotHeight / series.size);
  const drawn = [...series].map(([name, points], index) =>
    drawSeries({ name, points, index, keyY: top + 12 + keyGap * index, place }),
  );
  const size = { viewBox: `0 0 ${width} ${height}`, width, height };
  return element(
    "svg",
    { xmlns: "http://www.w3.org/2000/svg", ...size, class: "scatter", role: "img" },
    titleOf("PSNR against none over FLOPs"),
    element("style", {}, style),
    element("rect", { width, height, class: "page" }),
    label("How near to none, for which part of its FLOPs", { x: left, y: 22, class: "heading" }),
    ...gridLines(low, high, right100, place),
    ...drawn,
  );
}

/** Points by policy name, in the order of their FLOPs. */
function seriesOf(policies: readonly PolicyFindings[]): ReadonlyMap<string, readonly Point[]> {
  const series = new Map<string, Point[]>();
  for (const { label: text, policy, flopsRatio, quality } of policies) {
    if (quality === null) continue;
    const point = { label: text, percent: 100 / flopsRatio, psnrDb: quality.psnrDb };
    series.set(policy.name, [...(series.get(policy.name) ?? []), point]);
  }
  for (const points of series.values()) points.sort((a, b) => a.percent - b.percent);
  return series;
}

type Place = (point: Pick<Point, "percent" | "psnrDb">) => readonly [x: number, y: number];

function drawSeries({
  name,
  points,
  index,
  keyY,
  place,
}: {
  readonly name: string;
  readonly points: readonly Point[];
  readonly index: number;
  readonly keyY: number;
  readonly place: Place;
}): string {
  const dots = points.map((point) => {
    const [cx, cy] = place(point);
    const text = `${point.label}: ${point.percent.toFixed(1)} %, ${point.psnrDb.toFixed(2)} dB`;
    return element("circle", { cx, cy, r: 4, class: "dot" }, titleOf(text));
  });
  const key = { cx: width - right + 20, cy: keyY - 4, r: 4, class: "dot" };
  return element(
    "g",
    { class: `c${index % hues.length}` },
    element("path", { d: pathOf(unbeaten(points).map(place)), class: "line" }),
    ...dots,
    element("circle", key),
    label(name, { x: width - right + 30, y: keyY }),
  );
}

/** Those that are nearer than every one before, which computes less. */
function unbeaten(points: readonly Point[]): readonly Point[] {
  return points.filter(({ psnrDb }, index) =>
    points.slice(0, index).every((before) => before.psnrDb < psnrDb),
  );
}

function gridLines(low: number, high: number, right100: number, place: Place): readonly string[] {
  const across = Array.from({ length: (high - low) / gridDb + 1 }, (_, index) => {
    const psnrDb = low + index * gridDb;
    const [x1, y] = place({ percent: 0, psnrDb });
    const line = element("line", { x1, x2: x1 + plotWidth, y1: y, y2: y, class: "grid" });
    return line + label(`${psnrDb}`, { x: left - 8, y: y + 4, class: "end" });
  });
  const along = Array.from({ length: Math.floor(right100 / gridPercent) + 1 }, (_, index) => {
    const [x, y] = place({ percent: index * gridPercent, psnrDb: low });
    return label(`${index * gridPercent}`, { x, y: y + 18, class: "middle" });
  });
  const middle = top + plotHeight / 2;
  return [
    ...across,
    ...along,
    label("FLOPs, % of none", { x: left + plotWidth / 2, y: height - 12, class: "middle" }),
    label("PSNR, dB", { transform: `translate(18 ${middle}) rotate(-90)`, class: "middle" }),
  ];
}
