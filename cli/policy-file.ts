// A policy as a user names it: by its name, or by a file that holds name and options, as a
// calibration writes it. docs/policies.md describes the file.
import { readFileSync, statSync } from "node:fs";
import { FarmError } from "../common/errors.js";
import type { Calibration } from "../engine/plan.js";
import type { PolicyOptions } from "./args.js";

export interface NamedPolicy {
  readonly name: string;
  readonly options: PolicyOptions;
  /** What a file says that its options were calibrated for. */
  readonly calibration?: Calibration;
}

// A schedule for every layer of a large model takes some kilobytes.
const fileBytesMax = 1024 * 1024;
/** Above any step, frame or pixel of a request, and what an int32 holds. */
const countMax = 1_000_000;
const form = '{"name": "mask", "options": {"compute": "0-3,6"}} is wanted';

/**
 * The policy called `name`, or held by the file of that name where it ends in .json; `options` win
 * over the file's. Throws INVALID_ARGUMENT for a file that holds no policy, NOT_FOUND or IO for one
 * that cannot be read.
 */
export function policyOf(name: string, options: PolicyOptions = {}): NamedPolicy {
  if (!name.endsWith(".json")) return { name, options: { ...options } };
  const held = readPolicyFile(name);
  return { ...held, options: { ...held.options, ...options } };
}

/** Throws as policyOf. */
export function readPolicyFile(file: string): NamedPolicy {
  return parsePolicy(file, readText(file));
}

function readText(file: string): string {
  try {
    const found = statSync(file);
    // A pipe that nobody writes to would be waited for without end.
    if (!found.isFile()) throw new Error("it is a folder, a pipe or a device");
    if (found.size <= fileBytesMax) return readFileSync(file, "utf8");
    throw invalid(
      `policy file ${file} has ${found.size} bytes; at most ${fileBytesMax} are allowed`,
    );
  } catch (error) {
    if (error instanceof FarmError) throw error;
    const code = (error as NodeJS.ErrnoException).code === "ENOENT" ? "NOT_FOUND" : "IO";
    const reason = error instanceof Error ? error.message : String(error);
    throw new FarmError(code, `policy file ${file} cannot be read: ${reason}`, { cause: error });
  }
}

function parsePolicy(file: string, text: string): NamedPolicy {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, "")); // some editors begin a file with that mark
  } catch (error) {
    const message = `policy file ${file} is no JSON; ${form}`;
    throw new FarmError("INVALID_ARGUMENT", message, { cause: error });
  }
  const { name, options = {}, calibration } = isRecord(value) ? value : {};
  if (typeof name !== "string" || !isRecord(options)) {
    throw invalid(`policy file ${file} names no policy; ${form}`);
  }
  const texts: Record<string, string> = {};
  for (const [option, each] of Object.entries(options)) {
    if (typeof each === "object") {
      throw invalid(`policy file ${file}: option ${option} must be a text, a number or a flag`);
    }
    texts[option] = String(each);
  }
  if (calibration === undefined) return { name, options: texts };
  return { name, options: texts, calibration: parseCalibration(file, calibration) };
}

/** Further fields are for whoever wrote the file. */
function parseCalibration(file: string, value: unknown): Calibration {
  if (!isRecord(value)) throw invalid(`policy file ${file}: calibration must be an object`);
  const text = (field: string): string | undefined => {
    const found = value[field];
    if (found === undefined || typeof found === "string") return found;
    throw invalid(`policy file ${file}: calibration.${field} must be a text`);
  };
  const count = (field: string): number | undefined => {
    const found = value[field];
    const isCount = typeof found === "number" && Number.isInteger(found);
    if (found === undefined || (isCount && found > 0 && found <= countMax)) return found;
    throw invalid(
      `policy file ${file}: calibration.${field} is ${JSON.stringify(found)}; ` +
        `a whole number from 1 to ${countMax} is wanted`,
    );
  };
  return {
    model: text("model"),
    modelDigest: text("model_digest"),
    steps: count("steps"),
    width: count("width"),
    height: count("height"),
    frames: count("frames"),
    sampler: text("sampler"),
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
