// Ctrl-C and SIGTERM as an abort signal: a command gets the chance to cancel what it began. A
// second one ends the process at once; its children see their channel close and follow.
import { errorCodes, FarmError } from "../common/errors.js";

const signals = ["SIGINT", "SIGTERM"] as const;

/**
 * Runs `work` with a signal that aborts, with CANCELLED as its reason, when the user interrupts.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(errorCodes.CANCELLED.exit);
    controller.abort(new FarmError("CANCELLED", `stopped by ${name}`));
  };
  for (const name of signals) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of signals) process.off(name, onSignal);
  }
}

/** Resolves when the signal aborts. */
export function interrupted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
