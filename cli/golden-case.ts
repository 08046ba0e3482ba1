// A folder of golden data: its case.json says what kind of case it is. Tensors are the native
// runner's.
import { readFile } from "node:fs/promises";
import path from "node:path";
import { FarmError } from "../common/errors.js";

export interface GoldenCase {
  readonly folder: string;
  readonly name: string;
  readonly kind: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Throws NOT_FOUND or INVALID_ARGUMENT, naming the file. */
export async function readGoldenCase(folder: string): Promise<GoldenCase> {
  const file = path.join(folder, "case.json");
  const text = await readFile(file, "utf8").catch((error: Error) => {
    throw new FarmError(
      "NOT_FOUND",
      `${folder} is no golden case: ${file} cannot be read (${error.message})`,
    );
  });
  const fields = parse(file, text);
  const kind = fields["kind"];
  if (typeof kind !== "string") throw new FarmError("INVALID_ARGUMENT", `${file} names no "kind"`);
  return { folder, name: path.basename(path.resolve(folder)), kind, fields };
}

function parse(file: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
  } catch (error) {
    throw new FarmError("INVALID_ARGUMENT", `${file} is no JSON: ${String(error)}`);
  }
  throw new FarmError("INVALID_ARGUMENT", `${file} is no JSON object`);
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
