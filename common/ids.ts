// Names of batches, clips, segments and attempts as users and the artifact store see them. A
// batch's name sorts by its time; the others count within it, so 100,000 clips need no name of
// their own in the log.

import { randomBytes } from "node:crypto";
import { assert } from "./assert.js";
import { FarmError } from "./errors.js";

/** Base 32 without i, l, o and u: easy to read out, and in ASCII order. */
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
const timeBits = 42n; // milliseconds until the year 2109
const randomBits = 18n;
const characters = 12; // 60 bits

/** `b` and 12 characters of time and randomness. */
export function newBatchId(nowMs: number, random: Uint8Array = randomBytes(4)): string {
  assert(random.length >= 4, "a batch id needs 4 random bytes");
  const entropy = Buffer.from(random).readUInt32BE(0);
  const time = BigInt(Math.floor(nowMs)) & ((1n << timeBits) - 1n);
  let value = (time << randomBits) | (BigInt(entropy) >> (32n - randomBits));
  let text = "";
  for (let i = 0; i < characters; i++) {
    text = alphabet.charAt(Number(value & 31n)) + text;
    value >>= 5n;
  }
  return `b${text}`;
}

/** `<batch>.<index, 6 digits>` */
export function clipId(batch: string, index: number): string {
  return `${batch}.${index.toString().padStart(6, "0")}`;
}

/** `<clip>.<segment>`; a clip of one segment has segment 0. */
export function segmentId(batch: string, index: number, segment = 0): string {
  return `${clipId(batch, index)}.${segment}`;
}

/** `<segment>/<attempt>`, for people. */
export function attemptName(segment: string, attempt: number): string {
  return `${segment}/${attempt}`;
}

/** Where an attempt writes: `clips/<clip>/<attempt>/`. */
export function artifactPrefix(clip: string, attempt: number): string {
  return `clips/${clip}/${attempt}/`;
}

/** Where an attempt's checkpoint lies that lets it go on from `step`. */
export function checkpointKey(clip: string, attempt: number, step: number): string {
  return `checkpoints/${clip}/${attempt}-${step}.safetensors`;
}

export interface SegmentName {
  readonly batch: string;
  readonly index: number;
  readonly segment: number;
}

const batchPattern = /^b[0-9a-hjkmnp-tv-z]{12}$/;
const segmentPattern = /^(b[0-9a-hjkmnp-tv-z]{12})\.(\d{6})\.(\d{1,6})$/;

export function isBatchId(text: string): boolean {
  return batchPattern.test(text);
}

/** The parts of a segment's name. Throws INVALID_ARGUMENT. */
export function parseSegmentId(text: string): SegmentName {
  const match = segmentPattern.exec(text);
  if (!match) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `"${text.slice(0, 64)}" is no segment id; one looks like b0123456789ab.000000.0`,
    );
  }
  return { batch: match[1] ?? "", index: Number(match[2]), segment: Number(match[3]) };
}
