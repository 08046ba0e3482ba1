// The SHA-256 that an S3 server gives to an object uploaded in parts: the digest of the parts'
// digests, in base 64, with their count. Equal parts make it computable from the content again.
import { createHash, type Hash } from "node:crypto";

/** Of the parts' digests, in their order. */
export function compositeSha256(parts: readonly Buffer[]): string {
  const whole = createHash("sha256");
  for (const digest of parts) whole.update(digest);
  return `${whole.digest("base64")}-${parts.length}`;
}

/** The same of a content that comes in chunks, where each part but the last has `partBytes`. */
export class CompositeSha256 {
  readonly #partBytes: number;
  readonly #digests: Buffer[] = [];
  #part: Hash = createHash("sha256");
  #bytesInPart = 0;

  constructor(partBytes: number) {
    this.#partBytes = partBytes;
  }

  update(chunk: Uint8Array): void {
    for (let rest = chunk; rest.byteLength > 0; ) {
      if (this.#bytesInPart === this.#partBytes) this.#endPart();
      const taken = rest.subarray(0, this.#partBytes - this.#bytesInPart);
      this.#part.update(taken);
      this.#bytesInPart += taken.byteLength;
      rest = rest.subarray(taken.byteLength);
    }
  }

  digest(): string {
    this.#endPart();
    return compositeSha256(this.#digests);
  }

  #endPart(): void {
    this.#digests.push(this.#part.digest());
    this.#part = createHash("sha256");
    this.#bytesInPart = 0;
  }
}
