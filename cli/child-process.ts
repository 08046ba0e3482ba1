// One process of the farm as a child of the command: forked with a channel, waited for until it
// serves, stopped politely and then not. The child is in a session of its own, so that Ctrl-C in
// the terminal reaches the command alone, which then decides; it ends by itself when the channel
// closes.
import { type ChildProcess, fork } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { FarmError, isErrorCode } from "../common/errors.js";
import { asChildMessage } from "../common/lifecycle.js";
import { packageRoot } from "../common/paths.js";

export interface ChildOptions {
  /** For messages: "the coordinator", "worker-1". */
  readonly name: string;
  /** Compiled main below dist/, such as "worker/main.js". */
  readonly main: string;
  readonly args: readonly string[];
  /** Whether its log on stderr is shown. */
  readonly showLog: boolean;
}

export interface ServingAddresses {
  readonly grpc?: string;
  readonly http?: string;
}

// After SIGTERM a worker hands back and an engine stops within a block; this is patience with both.
const stopMsMax = 20_000;

export class FarmProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<string>;
  #failure: FarmError | undefined;
  #stopping = false;

  constructor({ name, main, args, showLog }: ChildOptions) {
    this.name = name;
    this.#child = fork(path.join(packageRoot(), "dist", main), args, {
      detached: true,
      stdio: ["ignore", "ignore", showLog ? "pipe" : "ignore", "ipc"],
    });
    if (this.#child.stderr) passLogOn(this.#child.stderr);
    this.#exited = new Promise((resolve) => {
      this.#child.once("exit", (code, signal) => resolve(signal ?? `status ${code}`));
      this.#child.once("error", (error) => resolve(error.message));
    });
  }

  /** Resolves once it serves; throws what it failed with, or CANCELLED's reason on abort. */
  async ready(signal: AbortSignal): Promise<ServingAddresses> {
    const answer = new Promise<ServingAddresses>((resolve, reject) => {
      this.#child.on("message", (raw) => {
        const message = asChildMessage(raw);
        if (message?.type === "ready") resolve(message);
        if (message?.type === "failed") {
          const code = isErrorCode(message.code) ? message.code : "INTERNAL";
          this.#failure = new FarmError(code, `${this.name}: ${message.message}`);
          reject(this.#failure);
        }
      });
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    signal.throwIfAborted();
    return Promise.race([answer, this.broken()]);
  }

  /** Rejects when the process has ended without being asked to; never resolves. */
  async broken(): Promise<never> {
    const how = await this.#exited;
    if (this.#stopping) return new Promise(() => {});
    throw (
      this.#failure ??
      new FarmError("INTERNAL", `${this.name} ended with ${how}; --verbose shows its log`)
    );
  }

  /** SIGTERM, then, when that takes too long, SIGKILL. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const overdue = setTimeout(() => this.#child.kill("SIGKILL"), stopMsMax);
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGTERM");
    }
    await this.#exited;
    clearTimeout(overdue);
  }
}

/**
 * Its log goes to our stderr, but for the line of its failure: that is told once, by the command.
 */
function passLogOn(stderr: Readable): void {
  createInterface({ input: stderr }).on("line", (line) => {
    if (!isErrorCode(/^tocafarm: ([A-Z_]+): /.exec(line)?.[1])) process.stderr.write(`${line}\n`);
  });
}
