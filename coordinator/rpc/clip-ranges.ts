// Places of clips as a request names them: bounded, checked against the batch, and brought into the
// form in which core and log keep them.

import { FarmError } from "../../common/errors.js";
import type { ClipRange } from "../../proto/gen/tocafarm/v1/farm.js";
import type { ClipRanges } from "../core/events.js";

/** Every third clip of 3,000 is the most that one request can name one by one. */
export const rangesMax = 1_000;

/**
 * In rising order, and joined where they overlap or touch. Throws INVALID_ARGUMENT for a range that
 * is none, or that reaches beyond the batch.
 */
export function fromRanges(ranges: readonly ClipRange[], clipsTotal: number): ClipRanges {
  if (ranges.length > rangesMax) {
    throw invalid(`${ranges.length} ranges are given, ${rangesMax} are allowed; use several calls`);
  }
  for (const { first, last } of ranges) {
    if (first > last) throw invalid(`clips ${first}-${last} begin behind their end; swap the two`);
    if (last >= clipsTotal) {
      throw invalid(`clip ${last} is not in the batch: its clips are 0-${clipsTotal - 1}`);
    }
  }
  const rising = [...ranges].sort((a, b) => a.first - b.first);
  const joined: [first: number, last: number][] = [];
  for (const { first, last } of rising) {
    const before = joined.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
