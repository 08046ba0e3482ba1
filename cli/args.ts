// Values of command-line options: each function reads one kind and says, in one line, what is wrong
// with a value and what is wanted.
import { readFile } from "node:fs/promises";
import { FarmError } from "../common/errors.js";
import type { FrameSize } from "./resolutions.js";

export interface NumberBounds {
  readonly min: number;
  readonly max: number;
  /** Fractions are allowed too. */
  readonly fractional?: boolean;
}

/** A reader for a bounded number. */
export function numberOption(name: string, bounds: NumberBounds): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    const kindRight = bounds.fractional ? Number.isFinite(value) : Number.isInteger(value);
    if (kindRight && value >= bounds.min && value <= bounds.max) return value;
    const kind = bounds.fractional ? "a number" : "a whole number";
    throw invalid(`${name} is ${text}; ${kind} from ${bounds.min} to ${bounds.max} is wanted`);
  };
}

/** Of the tiers, 0 first. */
export const lowestTier = 4;

/** A reader for a tier. */
export function tierOption(name: string): (text: string) => number {
  return numberOption(name, { min: 0, max: lowestTier });
}

// Open-Sora's names for lengths at 24 frames a second, less a little.
const durations: Readonly<Record<string, number>> = {
  "1x": 51,
  "2s": 51,
  "2x": 102,
  "4s": 102,
  "4x": 204,
  "8s": 204,
  "8x": 408,
  "16s": 408,
  "16x": 816,
  "32s": 816,
};
const framesMax = 4096;

/** A count of frames, or a name such as "4s". */
export function framesOption(text: string): number {
  const named = Object.hasOwn(durations, text) ? durations[text] : undefined;
  if (named !== undefined) return named;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= framesMax) return value;
  const names = Object.keys(durations).join(", ");
  throw invalid(`--frames is ${text}; 1 to ${framesMax} or one of ${names} is wanted`);
}

const sideMax = 8192;

/** "HxW", or the two values on their own. */
export function imageSizeOption(values: readonly string[]): FrameSize {
  const parts = values.length === 1 ? (values[0] ?? "").split(/[x×]/i) : values;
  const [height, width, ...more] = parts.map(Number);
  const isSide = (side: number | undefined) =>
    Number.isInteger(side) && Number(side) >= 8 && Number(side) <= sideMax;
  if (height === undefined || width === undefined || more.length > 0) {
    throw invalid(`--image-size is ${values.join(" ")}; HEIGHTxWIDTH is wanted, such as 240x426`);
  }
  if (!isSide(height) || !isSide(width)) {
    throw invalid(`--image-size is ${values.join(" ")}; sides are 8 to ${sideMax} pixels`);
  }
  return { height, width };
}

/** A seed of 64 bits. */
export function seedOption(text: string): bigint {
  if (/^\d{1,20}$/.test(text)) {
    const seed = BigInt(text);
    if (seed < 2n ** 64n) return seed;
  }
  throw invalid(`--seed is ${text}; a whole number from 0 to ${2n ** 64n - 1n} is wanted`);
}

/** Options of a caching policy by name. */
export type PolicyOptions = Readonly<Record<string, string>>;

/** A collector of `name=value` pairs. */
export function policyOption(
  option: string,
): (text: string, before?: PolicyOptions) => PolicyOptions {
  return (text, before = {}) => {
    const match = /^([a-z][a-z0-9_.]*)=(.+)$/.exec(text);
    const name = match?.[1];
    const value = match?.[2];
    if (name === undefined || value === undefined) {
      throw invalid(`${option} is ${text}; NAME=VALUE is wanted, such as interval=3`);
    }
    if (Object.hasOwn(before, name)) {
      throw invalid(`${option} ${name} is given twice; give it once`);
    }
    return { ...before, [name]: value };
  };
}

/**
 * The value of an option that a command cannot do without. Commander's own check would come before
 * the one for unknown options, and so hide that an option was only misspelt.
 */
export function requiredOption<T>(value: T | undefined, option: string): T {
  if (value !== undefined) return value;
  throw invalid(`${option} is required; --help says what it is`);
}

/** Collects the values of an option that may be repeated. */
export function repeated(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

const promptsBytesMax = 16 * 1024 * 1024; // what a coordinator takes
const promptsMax = 100_000;

/** Prompts of a UTF-8 file, one a line; the file's last line break makes no prompt. */
export async function readPromptFile(file: string): Promise<readonly string[]> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    const code = error.code === "ENOENT" ? "NOT_FOUND" : "IO";
    throw new FarmError(code, `prompt file ${file} cannot be read: ${error.message}`);
  });
  if (bytes.length > promptsBytesMax) {
    throw invalid(`prompt file ${file} has ${bytes.length} bytes; at most ${promptsBytesMax}`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new FarmError("INVALID_ARGUMENT", `prompt file ${file} is not UTF-8: convert it`, {
      cause: error,
    });
  }
  return checkPrompts(text.replace(/\r?\n$/, "").split(/\r?\n/), (index) => `${file}:${index + 1}`);
}

/** Prompts without the space around them. Throws for none, too many, or an empty one. */
export function checkPrompts(
  prompts: readonly string[],
  placeOf: (index: number) => string,
): readonly string[] {
  const stripped = prompts.map((prompt) => prompt.trim());
  const empty = stripped.indexOf("");
  if (empty >= 0) {
    throw invalid(`${placeOf(empty)} is an empty prompt: write what the clip shows, or remove it`);
  }
  if (stripped.length > promptsMax) {
    throw invalid(`${stripped.length} prompts are given; at most ${promptsMax} make a batch`);
  }
  return stripped;
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
