// Places of clips as a person writes them: "0-9,12".
import { FarmError } from "../common/errors.js";
import type { ClipRange } from "../proto/gen/tocafarm/v1/farm.js";

const rangesMax = 1_000; // what a coordinator takes
const indexMax = 99_999; // of the last clip of the largest batch

/** Throws INVALID_ARGUMENT, naming the part that is none. */
export function clipList(text: string): readonly ClipRange[] {
  const ranges = text.split(",").map(clipRange);
  if (ranges.length > rangesMax) {
    throw invalid(`CLIPS names ${ranges.length} ranges; at most ${rangesMax} in one call`);
  }
  return ranges;
}

function clipRange(part: string): ClipRange {
  const match = /^\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*$/.exec(part);
  if (!match) throw invalid(`CLIPS has "${part.slice(0, 40)}"; 0-9,12 is what a list looks like`);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (first > last) throw invalid(`CLIPS has ${part}, which begins behind its end`);
  if (last > indexMax) throw invalid(`CLIPS has ${last}; no batch has more clips than ${indexMax}`);
  return { first, last };
}

/** The batch and the place of a clip's id. Throws INVALID_ARGUMENT. */
export function clipName(text: string): { readonly batch: string; readonly index: number } {
  const match = /^(b[0-9a-z]{12})\.(\d{1,6})$/.exec(text);
  if (!match) {
    throw invalid(`"${text.slice(0, 40)}" is no clip; one is named like b04k2m9qx7r1t.000003`);
  }
  return { batch: match[1] ?? "", index: Number(match[2]) };
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
