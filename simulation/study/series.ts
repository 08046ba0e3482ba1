// Values over time in bounded memory: when there are too many samples, every other one goes and the
// distance doubles.

const samplesMax = 600;

/** One moment of the farm. */
export interface Sample {
  readonly atMs: number;
  /** Devices whose agents are up. */
  readonly devices: number;
  /** Devices with a lease, by tenant in the order of `tenants`. */
  readonly busy: readonly number[];
  /** Clips that wait for a device, by tenant. */
  readonly backlog: readonly number[];
  /**
   * Mean wait in seconds of clips that got their first device since the sample before; null = none.
   */
  readonly waits: readonly (number | null)[];
}

export class Series {
  #samples: Sample[] = [];
  #everyMs = 1_000;

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** Time between two samples, as it is now. */
  get everyMs(): number {
    return this.#everyMs;
  }

  add(sample: Sample): void {
    this.#samples.push(sample);
    if (this.#samples.length < samplesMax) return;
    this.#samples = this.#samples.filter((_, index) => index % 2 === 1);
    this.#everyMs *= 2;
  }
}
