// A plot for a terminal: columns of blocks over time, with its highest value and its span written
// to it.

import { tickText, unitFor } from "./scale.js";

const blocks = " ▁▂▃▄▅▆▇█";

export interface TextPlot {
  readonly title: string;
  readonly values: readonly number[];
  /** The top of the plot. */
  readonly max: number;
  /** From the first value to the last one. */
  readonly seconds: number;
  readonly columns: number;
  readonly rows: number;
}

/** A plot of a row of values, each column the mean of those that fall on it. */
export function textPlot({ title, values, max, seconds, columns, rows }: TextPlot): string {
  const means = meansOf(values, columns);
  const top = Math.max(max, Number.EPSILON);
  const lines = Array.from({ length: rows }, (_, row) => {
    const floor = rows - 1 - row;
    const cells = means.map((mean) => {
      const eighths = Math.round(((mean / top) * rows - floor) * 8);
      return blocks[Math.min(8, Math.max(0, eighths))] ?? " ";
    });
    const mark = row === 0 ? tickText(top) : row === rows - 1 ? "0" : "";
    return `${mark.padStart(7)} |${cells.join("")}`;
  });
  const unit = unitFor(seconds);
  const end = `${(seconds / unit.seconds).toFixed(1)} ${unit.name}`;
  const axis = `${" ".repeat(8)}0${end.padStart(Math.max(end.length + 1, means.length - 1))}`;
  return [title, ...lines.map((line) => line.trimEnd()), axis].join("\n");
}

function meansOf(values: readonly number[], columns: number): readonly number[] {
  const count = Math.min(columns, values.length);
  return Array.from({ length: count }, (_, column) => {
    const from = Math.floor((column * values.length) / count);
    const to = Math.max(from + 1, Math.floor(((column + 1) * values.length) / count));
    const part = values.slice(from, to);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}
