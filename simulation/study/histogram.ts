// Waits by the million in little memory: bins that grow by one in fifty, so that a quantile is
// right within 2 %.

const growth = 1.02;
/** The first bin ends here. */
const leastSeconds = 0.01;

export class Histogram {
  readonly #bins: number[] = [];
  #count = 0;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  get max(): number {
    return this.#max;
  }

  add(seconds: number): void {
    const bin = Math.max(0, Math.ceil(Math.log(seconds / leastSeconds) / Math.log(growth)));
    this.#bins[bin] = (this.#bins[bin] ?? 0) + 1;
    this.#count += 1;
    this.#max = Math.max(this.#max, seconds);
  }

  /** The value below which this share of all lies; 0 where there is none. */
  quantile(share: number): number {
    let rest = share * this.#count;
    for (const [bin, count = 0] of this.#bins.entries()) {
      rest -= count;
      if (rest <= 0 && count > 0) return Math.min(this.#max, leastSeconds * growth ** bin);
    }
    return this.#max;
  }
}
