// What a peer made too long or too large, brought to what the log and later answers can carry.

/** As many whole characters of the text as fit into UTF-8, with a mark where some are missing. */
export function shortened(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text;
  const mark = "...";
  const bytes = Buffer.from(text).subarray(0, bytesMax - mark.length);
  // What was cut in the middle of a character decodes to U+FFFD.
  return bytes.toString("utf8").replace(/\uFFFD+$/, "") + mark;
}

const countMax = BigInt(Number.MAX_SAFE_INTEGER);

/** A uint64 as a number that comes back the same: one beyond 2^53 could not be sent again. */
export function boundedCount(count: bigint): number {
  return Number(count > countMax ? countMax : count);
}
