// The life of a process: start its parts, say that it serves, stop on a signal or when the parent
// is gone, take the parts down in reverse order, and end with the exit code of what went wrong. A
// forked process tells its parent by IPC messages, whose channel closing means that the parent
// died.

import { asFarmError, errorCodes, type FarmError } from "./errors.js";
import type { Log } from "./log.js";

/** What a forked process tells its parent, once. */
export type ChildMessage =
  | { readonly type: "ready"; readonly grpc?: string; readonly http?: string }
  | { readonly type: "failed"; readonly code: string; readonly message: string };

/** The message as its type, or undefined for anything else that came through the channel. */
export function asChildMessage(value: unknown): ChildMessage | undefined {
  if (typeof value !== "object" || value === null || !("type" in value)) return undefined;
  if (value.type !== "ready" && value.type !== "failed") return undefined;
  return value as ChildMessage; // our own child wrote it, through sendToParent
}

/** Parts that were started, to be stopped in reverse order. */
export class Teardown {
  readonly #parts: { readonly name: string; readonly stop: () => Promise<void> | void }[] = [];

  /** Adds a part that has started. */
  add(name: string, stop: () => Promise<void> | void): void {
    this.#parts.push({ name, stop });
  }

  /**
   * Stops every part, the newest first; one that fails is logged and does not keep the others up.
   */
  async run(log: Log): Promise<void> {
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      try {
        await part.stop();
      } catch (error) {
        log.error({ err: error, part: part.name }, "a part did not stop cleanly");
      }
    }
  }
}

/** A process that serves. */
export interface Serving {
  readonly grpc?: string;
  readonly http?: string;
  /** Rejects when the process can serve no longer; never resolves. */
  readonly broken: Promise<never>;
}

export interface ProcessOptions {
  readonly log: Log;
  /**
   * Starts the parts, adding each to `teardown` as soon as it runs. `signal` aborts when the
   * process shall stop.
   */
  readonly start: (teardown: Teardown, signal: AbortSignal) => Promise<Serving>;
  /** How long the parts may take to stop before the process exits regardless. */
  readonly stopMsMax: number;
  /** Called on the second signal, to hurry the parts; without it that one exits at once. */
  readonly hurry?: () => void;
}

/** Runs a process from start to exit. Never throws: it exits. */
export async function runProcess(options: ProcessOptions): Promise<never> {
  const { log, start, stopMsMax } = options;
  const teardown = new Teardown();
  const stopping = stopSignal(log, options.hurry);
  let failure: FarmError | undefined;
  try {
    // Who is told to stop while it starts does not wait until it has started.
    const serving = await Promise.race([start(teardown, stopping), aborted(stopping)]);
    if (serving) {
      await sendToParent({ type: "ready", ...addressesOf(serving) });
      log.info(addressesOf(serving), "serving");
      await Promise.race([aborted(stopping), serving.broken]);
    }
  } catch (thrown) {
    if (!stopping.aborted) failure = asFarmError(thrown);
  }
  if (failure) await reportFailure(failure, log);
  const overdue = setTimeout(() => {
    log.error({ stopMsMax }, "the process did not stop in time; it exits now");
    process.exit(errorCodes.INTERNAL.exit);
  }, stopMsMax);
  await teardown.run(log);
  clearTimeout(overdue);
  process.exit(failure ? errorCodes[failure.code].exit : 0);
}

/**
 * Ends a process that never came to start: one line on stderr, a message to the parent, the code's
 * exit status.
 */
export async function exitWith(thrown: unknown): Promise<never> {
  const error = asFarmError(thrown);
  await tell(error);
  process.exit(errorCodes[error.code].exit);
}

async function reportFailure(error: FarmError, log: Log): Promise<void> {
  log.debug({ err: error }, "the process failed");
  await tell(error);
}

/** In the form of every error of the command line. */
async function tell({ code, message }: FarmError): Promise<void> {
  process.stderr.write(`tocafarm: ${code}: ${message}\n`);
  await sendToParent({ type: "failed", code, message });
}

/**
 * Aborts on SIGTERM, SIGINT, or the end of the IPC channel. A second signal hurries what can be
 * hurried, one more than that exits at once.
 */
function stopSignal(log: Log, hurry: (() => void) | undefined): AbortSignal {
  const controller = new AbortController();
  let hurried = hurry === undefined;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (!controller.signal.aborted) {
        log.info({ signal }, "stopping");
        controller.abort();
      } else if (hurried) {
        process.exit(errorCodes.CANCELLED.exit);
      } else {
        log.info({ signal }, "hurrying");
        hurried = true;
        hurry?.();
      }
    });
  }
  process.on("disconnect", () => controller.abort());
  // The parent may have died while this process loaded its modules: nobody heard the event then.
  if (process.send !== undefined && !process.connected) controller.abort();
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function addressesOf({ grpc, http }: Serving): { grpc?: string; http?: string } {
  return { ...(grpc === undefined ? {} : { grpc }), ...(http === undefined ? {} : { http }) };
}

function sendToParent(message: ChildMessage): Promise<void> {
  return new Promise((resolve) => {
    if (!process.send || !process.connected) {
      resolve();
      return;
    }
    // A parent that is gone needs no message.
    process.send(message, undefined, undefined, () => resolve());
  });
}
