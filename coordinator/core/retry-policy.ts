// What follows a failure or an interruption. Invalid input is never tried again; out of memory goes
// once to a bigger device; anything else is tried again, elsewhere if there is an elsewhere, until
// its failures are used up. Interruptions are nobody's fault.

/** Bounds that an operator may set. */
export interface RetryPolicy {
  /** Failures after which a clip has failed. */
  readonly failuresMax: number;
  /** Failures in one batch after which a worker gets no more of it. */
  readonly workerFailuresMax: number;
  readonly backoffMs: number;
  readonly backoffMsMax: number;
}

export const defaultRetryPolicy: RetryPolicy = {
  failuresMax: 3,
  workerFailuresMax: 3,
  backoffMs: 1_000,
  backoffMsMax: 60_000,
};

/**
 * Interruptions in a row that cost no wait; then an agent that hands back at once shall not spin.
 */
const freeInterruptions = 2;

export type FailureClass = "interruption" | "input" | "memory" | "crash";

/** How a worker's failure code is treated. Codes stand in common/errors.ts. */
export function classOf(code: string): FailureClass {
  switch (code) {
    case "CANCELLED": // the agent stopped it, for a reason of its own
    case "INTERRUPTED": // handed back at a refresh point
    case "UNAVAILABLE":
    case "WORKER_LOST":
      return "interruption";
    case "INVALID_ARGUMENT":
    case "UNSUPPORTED":
    case "FAILED_PRECONDITION":
    case "NOT_FOUND":
    case "ALREADY_EXISTS":
      return "input";
    case "OUT_OF_MEMORY":
      return "memory";
    default:
      return "crash"; // also INVALID_CHECKPOINT of weights: another worker's copy may be whole
  }
}

/**
 * Wait after failure number `failures` (from 1) of a clip's attempt, with jitter by hash: the same
 * in every replay.
 */
export function retryDelayMs(policy: RetryPolicy, failures: number, seed: string): number {
  const doubledMs = policy.backoffMs * 2 ** Math.min(failures - 1, 20);
  const boundedMs = Math.min(doubledMs, policy.backoffMsMax);
  return Math.round(boundedMs * (0.5 + hashFraction(seed) / 2));
}

/** Wait after interruption number `interruptions` (from 1): the first ones go on at once. */
export function interruptionDelayMs(
  policy: RetryPolicy,
  interruptions: number,
  seed: string,
): number {
  if (interruptions <= freeInterruptions) return 0;
  return retryDelayMs(policy, interruptions - freeInterruptions, seed);
}

/** FNV-1a of the text, as a fraction in [0, 1). */
function hashFraction(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return hash / 2 ** 32;
}
