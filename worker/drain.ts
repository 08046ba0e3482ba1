// What becomes of running attempts when a worker is about to stop: who can end within the grace
// does, the others are cut at a refresh point while there is time to store what they have, and who
// is left when the grace is nearly over is handed back as it is.
import { monotonicClock, sleep } from "../common/clock.js";
import type { FarmError } from "../common/errors.js";
import type { Attempt } from "./attempt.js";
import type { Remaining } from "./remaining.js";

export interface DrainOptions {
  readonly graceMs: number;
  /** The grace is over as soon as it aborts. */
  readonly hurry: AbortSignal;
  /** What cut attempts fail with. */
  readonly why: FarmError;
  readonly attempts: () => readonly Attempt[];
  /** Resolves when the next attempt has ended. */
  readonly ended: () => Promise<void>;
  /** Called for each that is left in the end. */
  readonly handBack: (attempt: Attempt) => void;
}

// To be heard of before whoever sent the signal loses patience.
const handBackMs = 2_000;
// To reach a refresh point and to store what is there.
const cutMs = 10_000;
// A short grace is shared out in the same way.
const handBackShareMax = 0.1;
const cutShareMax = 1 / 3;
// How often estimates are looked at anew.
const lookMs = 200;

/** Milliseconds since the drain began. */
export interface DrainTimes {
  /** From here on only attempts that end for certain go on. */
  readonly cutAtMs: number;
  /** From here on none does. */
  readonly handBackAtMs: number;
}

export function drainTimes(graceMs: number): DrainTimes {
  return {
    cutAtMs: graceMs - Math.min(cutMs, graceMs * cutShareMax),
    handBackAtMs: graceMs - Math.min(handBackMs, graceMs * handBackShareMax),
  };
}

/** Whether an attempt is let go on: what is not known of it speaks for it, until it is late. */
export function mayFinish(remaining: Remaining, nowMs: number, times: DrainTimes): boolean {
  if (!remaining.certain && nowMs >= times.cutAtMs) return false;
  return nowMs + remaining.seconds * 1000 <= times.handBackAtMs;
}

/** Resolves when no attempt is left, or what was left is handed back. */
export async function drainAttempts(options: DrainOptions): Promise<void> {
  const { hurry, why, attempts, ended, handBack } = options;
  const times = drainTimes(options.graceMs);
  const beganMs = monotonicClock.now();
  while (attempts().length > 0) {
    const nowMs = monotonicClock.now() - beganMs;
    if (hurry.aborted || nowMs >= times.handBackAtMs) {
      for (const attempt of attempts()) handBack(attempt);
      return;
    }
    for (const attempt of attempts()) {
      if (!mayFinish(attempt.remaining, nowMs, times)) attempt.cut(why);
    }
    const waitMs = Math.min(lookMs, times.handBackAtMs - nowMs);
    await Promise.race([ended(), sleep(waitMs, hurry).catch(() => {})]);
  }
}
