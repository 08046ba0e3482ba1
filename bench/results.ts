// Results of the benchmarks: one JSON file a day in bench/results, in which each benchmark replaces
// what it found before, and what has changed since it last ran.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

/** Of every benchmark what it found last. */
export type Results = Readonly<Record<string, unknown>>;

interface ResultFile extends Record<string, unknown> {
  measuredAt?: Record<string, string>;
}

// Smaller changes are the machine's, from one run to the next.
const changeMin = 0.05;

function readResultFile(file: string): ResultFile {
  return JSON.parse(readFileSync(file, "utf8")) as ResultFile;
}

/** What every benchmark found last, over all days in the folder. */
export function latestResults(folder: string): Results {
  if (!existsSync(folder)) return {};
  const names = readdirSync(folder).filter((name) => /^\d{4}-\d\d-\d\d\.json$/.test(name));
  const days = names.sort().map((name) => readResultFile(path.join(folder, name)));
  return Object.assign({}, ...days.map(({ measuredAt: _, ...results }) => results)) as Results;
}

/** Adds a result to its day's file and returns the file. */
export function keepResult(folder: string, name: string, result: unknown, date: Date): string {
  const at = date.toISOString();
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${at.slice(0, 10)}.json`);
  const kept = existsSync(file) ? readResultFile(file) : {};
  kept[name] = result;
  kept.measuredAt = { ...kept.measuredAt, [name]: at };
  writeFileSync(file, `${JSON.stringify(kept, null, 2)}\n`);
  return file;
}

function figuresOf(value: unknown, at = "", found = new Map<string, number>()) {
  if (typeof value === "number") found.set(at, value);
  if (typeof value !== "object" || value === null) return found;
  for (const [key, inner] of Object.entries(value)) {
    figuresOf(inner, at === "" ? key : `${at}.${key}`, found);
  }
  return found;
}

/** Lines that name every figure which is not what it was, the largest change first. */
export function changesSince(before: unknown, after: unknown): readonly string[] {
  if (before === undefined) return ["never measured before"];
  const earlier = figuresOf(before);
  const changes = [...figuresOf(after)].flatMap(([at, now]) => {
    const then = earlier.get(at);
    if (then === undefined || then === now) return [];
    return [{ at, then, now, change: (now - then) / Math.abs(then) }];
  });
  const large = changes.filter(({ change }) => Math.abs(change) >= changeMin);
  if (large.length === 0) return ["no figure has changed by 5 % or more"];
  large.sort((a, b) => Math.abs(b.change) - Math.abs(a.change));
  return large.map(({ at, then, now, change }) => {
    const percent = `${change > 0 ? "+" : ""}${(100 * change).toFixed(0)} %`;
    return `${at}: ${then} -> ${now} (${percent})`;
  });
}
