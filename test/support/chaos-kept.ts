// Processes that are started again whenever they end, as a service manager does with the processes
// of a real farm; and the question whether anything was left behind by those that were killed.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { findNatsServer } from "../../coordinator/nats/server.js";
import type { CliSandbox } from "./cli-process.js";
import { eventually } from "./worker-process.js";

/** A process that was started. */
export interface Started {
  readonly pid: number;
  /** Resolves when it serves; rejects when it ends before. */
  readonly serves: Promise<unknown>;
  readonly ended: Promise<unknown>;
}

const againMs = 250;

/** A process with a keeper. */
export class Kept<P extends Started = Started> {
  readonly name: string;
  readonly #start: () => P;
  #process: P | undefined;
  #keeping: Promise<void> = Promise.resolve();
  #kept = true;
  /** How often it was started. */
  starts = 0;

  constructor(name: string, start: () => P) {
    this.name = name;
    this.#start = start;
    this.#keeping = this.#keep();
  }

  /** Of the process that runs now; undefined between two. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get process(): P | undefined {
    return this.#process;
  }

  /** Resolves to a process that serves, the present one or one that follows it. */
  async serving(msMax = 30_000): Promise<P> {
    let found: P | undefined;
    const serves = async () => {
      const now = this.#process;
      const outcome = await Promise.race([
        now?.serves.then(() => true) ?? false,
        sleep(againMs, false),
      ]).catch(() => false);
      found = now;
      return outcome && now === this.#process;
    };
    await eventually(serves, { limitMs: msMax, what: `${this.name} serves` });
    if (found === undefined) throw new Error(`${this.name} serves without a process`);
    return found;
  }

  /** Ends it in order, for good. */
  async stop(): Promise<void> {
    this.#kept = false;
    if (this.pid !== undefined) signal(this.pid, "SIGTERM");
    await this.#keeping;
  }

  async #keep(): Promise<void> {
    while (this.#kept) {
      this.#process = this.#start();
      this.#process.serves.catch(() => {}); // one that could not serve is started again
      this.starts += 1;
      await this.#process.ended;
      this.#process = undefined;
      if (this.#kept) await sleep(againMs);
    }
  }
}

/** Sends the signal; false when the process is gone. 0 would be this test and all its kin. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  assert.ok(pid > 0, `there is no process ${pid}`);
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

export interface NatsPlace {
  /** Of the log. */
  readonly folder: string;
  readonly port: number;
  readonly configFile: string;
  readonly logFile: string;
}

/** A nats-server, set up as the embedded one. */
export class NatsProcess implements Started {
  readonly #child: ChildProcess;
  readonly serves: Promise<void>;
  readonly ended: Promise<void>;

  constructor({ folder, port, configFile, logFile }: NatsPlace, env: NodeJS.ProcessEnv) {
    writeFileSync(configFile, natsConfig(folder, port));
    const log = openSync(logFile, "a");
    const server = [findNatsServer(process.env), "--config", configFile];
    this.#child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...server], {
      env,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.ended = new Promise((resolve) => this.#child.once("exit", () => resolve()));
    this.serves = Promise.race([listening(port), this.ended.then(neverServed)]);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }
}

function neverServed(): never {
  throw new Error("nats-server ended before it served");
}

function natsConfig(folder: string, port: number): string {
  return [
    "host: 127.0.0.1",
    `port: ${port}`,
    `jetstream { store_dir: ${JSON.stringify(folder)}, sync_interval: always }`,
    "",
  ].join("\n");
}

async function listening(port: number): Promise<void> {
  const answers = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ host: "127.0.0.1", port });
      const settle = (isThere: boolean) => {
        socket.destroy();
        resolve(isThere);
      };
      socket.once("connect", () => settle(true)).once("error", () => settle(false));
    });
  await eventually(answers, { limitMs: 30_000, what: `nats-server listens at ${port}` });
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (bound === null || typeof bound === "string") throw new Error("no port is free");
  return bound.port;
}

/**
 * Processes of the sandbox without an unbroken line of living parents up to this test: somebody in
 * it was killed, and they live on.
 */
export function orphans(sandbox: CliSandbox): readonly number[] {
  return sandbox.processes().filter((pid) => {
    for (let up = pid; up !== process.pid; up = parentOf(up)) if (up <= 1) return true;
    return false;
  });
}

/** 0 for a process that has ended, also while it is not yet buried. */
function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? 0 : Number(parent);
  } catch {
    return 0;
  }
}
