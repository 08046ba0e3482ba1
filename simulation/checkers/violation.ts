// A promise that was not kept: which one, and what was seen.

export class Violation extends Error {
  override readonly name = "Violation";
  /**
   * Short and the same for every breach of the promise, so that a shrunk run is of the same one.
   */
  readonly promise: string;

  constructor(promise: string, detail: string, options?: { readonly cause?: unknown }) {
    super(`${promise}: ${detail}`, options);
    this.promise = promise;
  }
}

/** Throws unless the promise was kept. */
export function promised(kept: boolean, promise: string, detail: () => string): asserts kept {
  if (!kept) throw new Violation(promise, detail());
}
