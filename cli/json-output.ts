// `--json`: the messages of proto/ as plain JSON for scripts. Names as in TypeScript, states as
// lower-case words, times in ISO 8601; 64-bit numbers are numbers where that is exact, else
// strings.
import { stateWord } from "./batch-tracker.js";

/** Prints a value as JSON on stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(plain(value), null, 2)}\n`);
}

const enumValue = /^(?:BATCH_STATE|CLIP_STATE|TRACE_DETAIL)_[A-Z_]+$/;

/** The value without classes and bigints. */
export function plain(value: unknown): unknown {
  if (typeof value === "bigint") {
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
  }
  if (typeof value === "string") return enumValue.test(value) ? stateWord(value) : value;
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]));
}
