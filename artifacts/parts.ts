// A content cut into parts of one size, whatever the chunks in which it comes.

/** Parts of exactly `partBytes`, but for the last, which is shorter and not empty. */
export async function* partsOf(
  source: Uint8Array | AsyncIterable<Uint8Array>,
  partBytes: number,
): AsyncGenerator<Buffer> {
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  for await (const chunk of source instanceof Uint8Array ? [source] : source) {
    for (let rest = chunk; rest.byteLength > 0; ) {
      const taken = rest.subarray(0, partBytes - gatheredBytes);
      gathered.push(taken);
      gatheredBytes += taken.byteLength;
      rest = rest.subarray(taken.byteLength);
      if (gatheredBytes < partBytes) continue;
      yield joined(gathered);
      gathered = [];
      gatheredBytes = 0;
    }
  }
  if (gatheredBytes > 0) yield joined(gathered);
}

/** One chunk as it is, without a copy. */
function joined(chunks: readonly Uint8Array[]): Buffer {
  const [only] = chunks;
  if (chunks.length !== 1 || only === undefined) return Buffer.concat(chunks);
  return Buffer.from(only.buffer, only.byteOffset, only.byteLength);
}
