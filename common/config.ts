// Command line flags of a process, declared as a table: type, bounds, default and help stand in one
// place, and an unknown flag is an error that names its nearest neighbour. Only long flags; `--name
// value` and `--name=value` are the same.

import { FarmError } from "./errors.js";

interface FlagBase {
  readonly help: string;
  /** A name for the value in the usage text, as in `--data DIR`. */
  readonly value?: string;
  /** Environment variable read when the flag is absent. */
  readonly env?: string;
}

/**
 * One row of the table. `required`: absent is an error. Without `default` and `required` the value
 * may be undefined.
 */
export type Flag =
  | (FlagBase & { readonly type: "string"; readonly default?: string; readonly required?: true })
  | (FlagBase & { readonly type: "strings" })
  | (FlagBase & { readonly type: "address"; readonly default?: string; readonly required?: true })
  | (FlagBase & {
      readonly type: "integer" | "number";
      readonly min: number;
      readonly max: number;
      readonly default?: number;
      readonly required?: true;
    })
  | (FlagBase & {
      readonly type: "choice";
      readonly choices: readonly string[];
      readonly default?: string;
      readonly required?: true;
    })
  | (FlagBase & { readonly type: "boolean" });

export type FlagTable = Readonly<Record<string, Flag>>;

type Scalar<F extends Flag> = F extends { type: "integer" | "number" }
  ? number
  : F extends { type: "choice"; choices: readonly (infer C)[] }
    ? C
    : string;

/**
 * What parseFlags returns for a table; keys are the flag names as written, e.g.
 * `flags["log-level"]`.
 */
export type FlagValues<T extends FlagTable> = {
  readonly [K in keyof T]: T[K] extends { type: "boolean" }
    ? boolean
    : T[K] extends { type: "strings" }
      ? readonly string[]
      : T[K] extends { required: true } | { default: string | number }
        ? Scalar<T[K]>
        : Scalar<T[K]> | undefined;
};

/**
 * Reads `argv` (without node and script). Throws INVALID_ARGUMENT naming the flag, the value and
 * the bound.
 */
export function parseFlags<const T extends FlagTable>(
  table: T,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): FlagValues<T> {
  const given = collect(table, argv);
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(table)) {
    const fromEnv = flag.env === undefined ? undefined : env[flag.env];
    const texts = given.get(name) ?? (fromEnv === undefined || fromEnv === "" ? [] : [fromEnv]);
    values[name] = flagValue(name, flag, texts);
  }
  return values as FlagValues<T>; // each value was just made from its row of the table
}

/** One line a flag, for --help. */
export function usage(table: FlagTable): string {
  const rows = Object.entries(table).map(([name, flag]) => {
    const value = flag.type === "boolean" ? "" : ` ${flag.value ?? placeholder(flag)}`;
    const preset = "default" in flag && flag.default !== undefined ? ` [${flag.default}]` : "";
    return { left: `  --${name}${value}`, right: `${flag.help}${preset}` };
  });
  const width = Math.max(...rows.map((row) => row.left.length)) + 2;
  return rows.map((row) => row.left.padEnd(width) + row.right).join("\n");
}

/**
 * Host and port of `HOST:PORT`; the host of an IPv6 address stands in brackets. Throws
 * INVALID_ARGUMENT.
 */
export function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (!match || port > 65535) {
    throw new FarmError("INVALID_ARGUMENT", `"${text}" is no address; write HOST:PORT`);
  }
  return { host: (match[1] ?? "").replace(/^\[|\]$/g, ""), port };
}

/**
 * The candidate that is nearest to `name` by edit distance, if any is near enough to be a slip of
 * the finger.
 */
export function suggestion(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function collect(table: FlagTable, argv: readonly string[]): Map<string, string[]> {
  const given = new Map<string, string[]>();
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? "";
    const match = /^--([^=]+)(?:=([\s\S]*))?$/.exec(argument);
    if (!match) throw new FarmError("INVALID_ARGUMENT", `unexpected argument "${argument}"`);
    const name = match[1] ?? "";
    const flag = Object.hasOwn(table, name) ? table[name] : undefined;
    if (!flag) throw unknownFlag(name, table);
    let text = match[2];
    if (text === undefined && flag.type !== "boolean") {
      text = argv[++i];
      if (text === undefined || text.startsWith("--")) {
        throw new FarmError("INVALID_ARGUMENT", `--${name} needs a value`);
      }
    }
    const texts = given.get(name) ?? [];
    if (texts.length > 0 && flag.type !== "strings") {
      throw new FarmError("INVALID_ARGUMENT", `--${name} is given twice; give it once`);
    }
    texts.push(text ?? "true");
    given.set(name, texts);
  }
  return given;
}

function unknownFlag(name: string, table: FlagTable): FarmError {
  const near = suggestion(name, Object.keys(table));
  const hint = near === undefined ? "--help lists the flags" : `did you mean --${near}?`;
  return new FarmError("INVALID_ARGUMENT", `unknown flag --${name}; ${hint}`);
}

function flagValue(name: string, flag: Flag, texts: readonly string[]): unknown {
  if (flag.type === "strings") return texts;
  const text = texts[0];
  if (flag.type === "boolean") return booleanOf(name, text);
  if (text === undefined) {
    if (flag.required)
      throw new FarmError("INVALID_ARGUMENT", `--${name} is required: ${flag.help}`);
    return flag.default;
  }
  switch (flag.type) {
    case "string":
      return text;
    case "address":
      parseAddress(text);
      return text;
    case "choice":
      return choiceOf(name, flag.choices, text);
    case "integer":
    case "number":
      return numberOf(name, flag, text);
  }
}

function booleanOf(name: string, text: string | undefined): boolean {
  if (text === undefined || text === "false") return false;
  if (text === "true") return true;
  throw new FarmError("INVALID_ARGUMENT", `--${name} is ${text}; it takes no value`);
}

function choiceOf(name: string, choices: readonly string[], text: string): string {
  if (choices.includes(text)) return text;
  throw new FarmError("INVALID_ARGUMENT", `--${name} is ${text}; one of ${choices.join(", ")}`);
}

function numberOf(
  name: string,
  flag: { readonly type: "integer" | "number"; readonly min: number; readonly max: number },
  text: string,
): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  const whole = flag.type === "integer";
  if (Number.isFinite(value) && (!whole || Number.isInteger(value))) {
    if (value >= flag.min && value <= flag.max) return value;
  }
  const kind = whole ? "a whole number" : "a number";
  throw new FarmError(
    "INVALID_ARGUMENT",
    `--${name} is ${text}; ${kind} from ${flag.min} to ${flag.max} is wanted`,
  );
}

function placeholder(flag: Flag): string {
  if (flag.type === "choice") return flag.choices.join("|");
  if (flag.type === "address") return "HOST:PORT";
  return flag.type === "integer" || flag.type === "number" ? "N" : "TEXT";
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substituted, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
