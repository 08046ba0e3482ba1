// How the figures of a benchmark are told: a few quantiles say more than a mean.

export interface Quantiles {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Of measured milliseconds; at least one. */
export function quantiles(valuesMs: readonly number[]): Quantiles {
  const sorted = Float64Array.from(valuesMs).sort();
  const at = (share: number) => rounded(sorted[Math.floor(share * (sorted.length - 1))] ?? NaN);
  return { count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
