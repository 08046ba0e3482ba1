// Text for people: aligned tables, and numbers with the digits that matter.
import { counted } from "../common/counted.js";

export type Align = "left" | "right";

export interface Column<Row> {
  readonly title: string;
  readonly align?: Align;
  readonly text: (row: Row) => string;
}

/** A table with a head line; no line has spaces at its end. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ text }) => text(row))),
  ];
  const widths = columns.map((_, index) =>
    Math.max(...cells.map((line) => [...(line[index] ?? "")].length)),
  );
  return cells
    .map((line) =>
      line
        .map((cell, index) => pad(cell, widths[index] ?? 0, columns[index]?.align ?? "left"))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function pad(text: string, width: number, align: Align): string {
  const space = " ".repeat(Math.max(0, width - [...text].length));
  return align === "left" ? text + space : space + text;
}

/** "51 frames", or what one frame is. */
export function frameCount(frames: number): string {
  return frames === 1 ? "an image" : counted(frames, "frame");
}

/** "0.42 s", "12.3 s", "4 min 05 s", "2 h 03 min". */
export function seconds(value: number): string {
  if (value < 1) return `${value.toFixed(2)} s`;
  if (value < 60) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  const minutes = Math.floor(whole / 60);
  const two = (part: number) => part.toString().padStart(2, "0");
  if (minutes < 60) return `${minutes} min ${two(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** "43.1 %", or "-" when nothing was counted. */
export function share(part: number, whole: number): string {
  return whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "-";
}

/** Floating-point operations: "3.27 PFLOP". */
export function flops(value: number): string {
  return scaled(value, "FLOP", ["", "k", "M", "G", "T", "P", "E"], 1000);
}

/** "1.50 GiB". */
export function bytes(value: number): string {
  return scaled(value, "B", ["", "Ki", "Mi", "Gi", "Ti"], 1024);
}

function scaled(value: number, unit: string, prefixes: readonly string[], base: number): string {
  let rest = value;
  let index = 0;
  while (rest >= base && index < prefixes.length - 1) {
    rest /= base;
    index++;
  }
  const digits = index === 0 || rest >= 100 ? 0 : rest >= 10 ? 1 : 2;
  return `${rest.toFixed(digits)} ${prefixes[index] ?? ""}${unit}`;
}

/** A text on one line, cut to a width. */
export function shortened(text: string, columnsMax: number): string {
  return cut(text.replace(/\s+/g, " "), columnsMax);
}

/** A line cut to a width, its spaces kept. */
export function cut(line: string, columnsMax: number): string {
  const characters = [...line];
  if (characters.length <= columnsMax) return line;
  return `${characters.slice(0, columnsMax - 1).join("")}…`;
}
