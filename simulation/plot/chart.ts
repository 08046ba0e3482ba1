// One chart: a title, two labelled axes, and for each name either a band of a stack or a line.
// Colours are classes, so that the page decides between light and dark.

import { type Scale, scaleTo, type TimeUnit, tickText } from "./scale.js";
import { element, label, pathOf } from "./svg.js";

export interface Line {
  readonly name: string;
  /** Null = nothing is known at this place. */
  readonly values: readonly (number | null)[];
}

export interface Chart {
  readonly title: string;
  readonly yLabel: string;
  readonly form: "stack" | "lines";
  readonly lines: readonly Line[];
  /** A line that bounds a stack, drawn dashed. */
  readonly bound: Line | null;
}

export const chartWidth = 960;
export const chartHeight = 260;

const left = 72;
const right = 16;
const top = 44;
const bottom = 48;
const plotWidth = chartWidth - left - right;
const plotHeight = chartHeight - top - bottom;

/** Lines have one of so many colours, in turn. */
export const colours = 8;

export function colourOf(index: number): number {
  return index % colours;
}

/** The chart at `y` of the page; `seconds` are the places of the values on the time axis. */
export function drawChart(
  chart: Chart,
  { seconds, unit, y }: { readonly seconds: readonly number[]; unit: TimeUnit; readonly y: number },
): string {
  const x = scaleTo(Math.max(0, ...seconds) / unit.seconds, 8);
  const stacked = chart.form === "stack" ? stack(chart.lines) : chart.lines;
  const all = [...stacked, ...(chart.bound ? [chart.bound] : [])];
  const highest = all.reduce((max, { values }) => values.reduce(larger, max), 0);
  const scale = scaleTo(highest ?? 0, 4);
  const place = (index: number, value: number): readonly [number, number] => [
    left + x.at((seconds[index] ?? 0) / unit.seconds) * plotWidth,
    top + plotHeight - scale.at(value) * plotHeight,
  ];
  const shapes =
    chart.form === "stack"
      ? stacked.map((line, index) => band(line, stacked[index - 1], index, place)).reverse()
      : stacked.map((line, index) => strokes(line, `line c${colourOf(index)}`, place));
  return element(
    "g",
    { transform: `translate(0 ${y})` },
    label(chart.title, { x: left, y: 18, class: "title" }),
    legend(chart.lines),
    axes(x, scale, { xLabel: `time (${unit.name})`, yLabel: chart.yLabel }),
    ...shapes,
    chart.bound ? strokes(chart.bound, "bound", place) : "",
  );
}

/** The largest of two numbers, of which one may be unknown. */
function larger(a: number, b: number | null): number {
  return Math.max(a, b ?? 0);
}

/** Each line on top of those before it. */
function stack(lines: readonly Line[]): readonly Line[] {
  const sums: number[] = [];
  return lines.map(({ name, values }) => {
    const stacked = values.map((value, index) => {
      sums[index] = (sums[index] ?? 0) + (value ?? 0);
      return sums[index];
    });
    return { name, values: stacked };
  });
}

type PlaceOf = (index: number, value: number) => readonly [number, number];

function band(line: Line, below: Line | undefined, index: number, place: PlaceOf): string {
  const upper = line.values.map((value, at) => place(at, value ?? 0));
  const lower = line.values.map((_, at) => place(at, below?.values[at] ?? 0));
  const d = `${pathOf([...upper, ...lower.reverse()])}Z`;
  return element("path", { d, class: `band c${colourOf(index)}` });
}

/** A line with gaps where nothing is known for long; a single value is a dot. */
function strokes(line: Line, name: string, place: PlaceOf): string {
  const points = line.values.flatMap((value, at) => (value === null ? [] : [place(at, value)]));
  const [first] = points;
  if (first !== undefined && points.length === 1) {
    return element("circle", { cx: first[0], cy: first[1], r: 3, class: `dot ${name}` });
  }
  return element("path", { d: pathOf(points), class: name });
}

function legend(lines: readonly Line[]): string {
  let x = left + 260;
  const entries = lines.slice(0, legendMax).map(({ name }, index) => {
    const entry = [
      element("rect", { x, y: 8, width: 12, height: 12, class: `band c${colourOf(index)}` }),
      label(name, { x: x + 17, y: 18, class: "small" }),
    ].join("");
    x += 32 + 7 * name.length;
    return entry;
  });
  return entries.join("");
}

/** Names beyond do not fit beside a title. */
const legendMax = 8;

function axes(
  x: Scale,
  y: Scale,
  { xLabel, yLabel }: { readonly xLabel: string; readonly yLabel: string },
): string {
  const floor = top + plotHeight;
  const marks = y.ticks.map((tick) => {
    const at = floor - y.at(tick) * plotHeight;
    const grid = element("line", { x1: left, x2: left + plotWidth, y1: at, y2: at, class: "grid" });
    return grid + label(tickText(tick), { x: left - 8, y: at + 4, class: "small end" });
  });
  const times = x.ticks.map((tick) =>
    label(tickText(tick), {
      x: left + x.at(tick) * plotWidth,
      y: floor + 18,
      class: "small middle",
    }),
  );
  const middle = top + plotHeight / 2;
  return [
    ...marks,
    ...times,
    label(xLabel, { x: left + plotWidth / 2, y: floor + 38, class: "small middle" }),
    label(yLabel, { transform: `translate(16 ${middle}) rotate(-90)`, class: "small middle" }),
  ].join("");
}
