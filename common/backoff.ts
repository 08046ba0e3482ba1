// How long to wait before trying again: doubling, bounded, with full jitter so that a farm does not
// come back as one herd.

export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
}

/**
 * Wait before try number `attempt` (from 1), `random` in [0, 1): between half of the doubled base
 * and all of it.
 */
export function backoffMs(attempt: number, random: number, options: BackoffOptions): number {
  const doubledMs = options.baseMs * 2 ** Math.min(attempt - 1, 30);
  const boundedMs = Math.min(doubledMs, options.maxMs);
  return Math.round(boundedMs * (0.5 + random / 2));
}
