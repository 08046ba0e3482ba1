// Damaged copies of the demo model, to be refused.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { demoModel } from "./farm-processes.js";

/** What a safetensors header says of a tensor. */
export interface TensorEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

export type TensorHeader = Record<string, TensorEntry>;

/** A copy of the demo model in a folder of this name; resolves paths in it. */
export function copyDemoModel(folder: string): (...parts: readonly string[]) => string {
  cpSync(demoModel, folder, { recursive: true });
  return (...parts) => path.join(folder, ...parts);
}

const lengthBytes = 8; // the header's length comes first, little-endian

/** Writes the header of a safetensors file anew, after `change` has had it. */
export function rewriteHeader(file: string, change: (header: TensorHeader) => void): void {
  const bytes = readFileSync(file);
  const headerEnd = lengthBytes + Number(bytes.readBigUInt64LE(0));
  const header: TensorHeader = JSON.parse(bytes.toString("utf8", lengthBytes, headerEnd));
  change(header);
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(lengthBytes);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([length, text, bytes.subarray(headerEnd)]));
}

/** Claims another length of the header than the file has. */
export function claimHeaderLength(file: string, claimed: bigint): void {
  const bytes = readFileSync(file);
  bytes.writeBigUInt64LE(claimed);
  writeFileSync(file, bytes);
}
