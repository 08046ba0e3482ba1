// Places of clips as ranges: what users give is put in order and checked against the batch, and
// what a verb changes is told in as few ranges as it takes.

import type { ClipRanges } from "./events.js";

/** Ranges in one event: about 256 KiB of the log. */
export const rangesMax = 16_384;

/** Why the ranges make no sense for a batch of so many clips; null when they do. */
export function rangesError(ranges: ClipRanges, clipsTotal: number): string | null {
  if (ranges.length > rangesMax) {
    return `${ranges.length} ranges are given, ${rangesMax} are allowed; give fewer`;
  }
  for (const [first, last] of ranges) {
    const whole = Number.isInteger(first) && Number.isInteger(last);
    if (!whole || first < 0 || last < first) {
      return `${first}-${last} is no range of clips; the first comes before the last`;
    }
    if (last >= clipsTotal) {
      return `clip ${last} is asked for, the batch has clips 0 to ${clipsTotal - 1}`;
    }
  }
  return null;
}

/** The places that fit, in rising order and each once, as few ranges as they take. */
export function rangesWhere(ranges: ClipRanges, fits: (clip: number) => boolean): ClipRanges {
  const found: [first: number, last: number][] = [];
  let next = 0;
  for (const [first, last] of [...ranges].sort(([a], [b]) => a - b)) {
    for (let clip = Math.max(first, next); clip <= last; clip++) {
      if (!fits(clip)) continue;
      const newest = found[found.length - 1];
      if (newest?.[1] === clip - 1) newest[1] = clip;
      else found.push([clip, clip]);
    }
    next = Math.max(next, last + 1);
  }
  return found;
}

export function* placesIn(ranges: ClipRanges): Generator<number> {
  for (const [first, last] of ranges) {
    for (let clip = first; clip <= last; clip++) yield clip;
  }
}

export function countOf(ranges: ClipRanges): number {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}
