// Makes one snapshot on a thread of its own: reading the log, writing the state as text and hashing
// it take seconds for a large pool, in which the leader's own thread goes on with its turns.

import { Worker } from "node:worker_threads";
import { type ErrorCode, FarmError } from "../common/errors.js";
import type { LogLevel } from "../common/log.js";

/** What the thread needs; a password in the URL goes by memory alone. */
export interface SnapshotSource {
  readonly natsUrl: string;
  readonly pool: string;
  /** Servers of a cluster that keep a copy. */
  readonly replicas: number;
  readonly logLevel: LogLevel;
}

/** What the thread tells, once. */
export type SnapshotMessage =
  | { readonly type: "taken"; readonly sequence: number }
  | { readonly type: "failed"; readonly code: ErrorCode; readonly message: string };

/** Resolves to the snapshot's sequence. Throws what went wrong on the thread. */
export async function snapshotOnThread(
  source: SnapshotSource,
  signal: AbortSignal,
): Promise<number> {
  signal.throwIfAborted();
  const program = new URL("./snapshot-thread-main.js", import.meta.url);
  const thread = new Worker(program, { workerData: source });
  const stop = () => void thread.terminate();
  signal.addEventListener("abort", stop, { once: true });
  try {
    const message = await new Promise<SnapshotMessage>((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
      thread.once("exit", (status) => {
        reject(new FarmError("INTERNAL", `the snapshot's thread ended with status ${status}`));
      });
    });
    if (message.type === "taken") return message.sequence;
    throw new FarmError(message.code, message.message);
  } finally {
    signal.removeEventListener("abort", stop);
    await thread.terminate();
  }
}
