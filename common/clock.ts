// Time behind an interface, so that tests and the simulation bring their own. No caller reads
// Date.now() or performance.now() itself.

/** Milliseconds that never go back. */
export interface Clock {
  now(): number;
}

/**
 * Milliseconds since the process started; immune to changes of the wall clock. For durations and
 * deadlines.
 */
export const monotonicClock: Clock = { now: () => performance.now() };

/**
 * A wall clock that never goes back and never stands below `floorMs`: it reads the system's time
 * once and goes on monotonically.
 */
export function steadyWallClock(floorMs: number): Clock {
  const baseMs = Math.max(Date.now(), floorMs) - performance.now();
  return { now: () => Math.floor(baseMs + performance.now()) };
}

/** Resolves after `ms`, or rejects with the signal's reason at once. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
