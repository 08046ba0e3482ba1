// What follows a failure or an interruption. Invalid input is never tried again; out of memory goes
// once to a bigger device; anything else is tried again, elsewhere if there is an elsewhere, until
// its failures are used up. What could not be read or written has more tries and longer waits, for
// a store that is away for some minutes is nobody's fault, but a full disk does not mend itself.
// Interruptions are nobody's fault either.

/** How often something may fail, and how long it waits in between. */
export interface Tries {
  /** Failures after which a clip has failed. */
  readonly failuresMax: number;
  /** Wait after the first one; it doubles with each, up to the bound. */
  readonly backoffMs: number;
  readonly backoffMsMax: number;
}

/** Bounds that an operator may set. */
export interface RetryPolicy extends Tries {
  /** Failures in one batch after which a worker gets no more of it. */
  readonly workerFailuresMax: number;
  /** Of what could not be read or written, which is counted for itself. */
  readonly io: Tries;
}

export const defaultRetryPolicy: RetryPolicy = {
  failuresMax: 3,
  workerFailuresMax: 3,
  backoffMs: 1_000,
  backoffMsMax: 60_000,
  // Waits of at least five minutes in all, ten at the most.
  io: { failuresMax: 10, backoffMs: 5_000, backoffMsMax: 120_000 },
};

/**
 * Interruptions in a row that cost no wait; then an agent that hands back at once shall not spin.
 */
const freeInterruptions = 2;

export type FailureClass = "interruption" | "input" | "memory" | "io" | "crash";

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
    case "IO":
      return "io";
    default:
      return "crash"; // also INVALID_CHECKPOINT of weights: another worker's copy may be whole
  }
}

export function triesOf(policy: RetryPolicy, kind: FailureClass): Tries {
  return kind === "io" ? policy.io : policy;
}

/**
 * Wait after failure number `failures` (from 1) of a clip's attempt, with jitter by hash: the same
 * in every replay.
 */
export function retryDelayMs(tries: Tries, failures: number, seed: string): number {
  const doubledMs = tries.backoffMs * 2 ** Math.min(failures - 1, 20);
  const boundedMs = Math.min(doubledMs, tries.backoffMsMax);
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
