// A farm of real processes, each started and killed as a test wants: dist/coordinator/main.js and
// dist/worker/main.js on the native engine and the demo model, in a sandbox that also has the
// command line. Its coordinator serves the sandbox's data folder, so commands find it.
import { type ChildProcess, fork } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import path from "node:path";
import type { TestContext } from "node:test";
import { FarmClient } from "../../cli/farm-client.js";
import { asChildMessage } from "../../common/lifecycle.js";
import { packageRoot } from "../../common/paths.js";
import { CliSandbox } from "./cli-process.js";
import { parseMetrics, type Scrape } from "./farm-metrics.js";
import { descendants, eventually } from "./worker-process.js";

export const demoModel = path.join(packageRoot(), "models", "demo");

/** One process of a farm. */
export class FarmProcess {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | string>;
  #grpc = "";
  #http = "";

  /**
   * Starts a compiled main below dist/; it is gone when the sandbox is disposed of. Its log goes to
   * the file, if there is one.
   */
  constructor(main: string, args: readonly string[], env: NodeJS.ProcessEnv, logFile?: string) {
    const program = path.join(packageRoot(), "dist", main);
    const stderr = logFile === undefined ? "inherit" : openSync(logFile, "a");
    const level = logFile === undefined ? "silent" : "info";
    this.#child = fork(program, [...args, "--log-level", level], {
      env,
      execArgv: [],
      stdio: ["ignore", "ignore", stderr, "ipc"],
    });
    if (typeof stderr === "number") closeSync(stderr);
    this.ended = new Promise((resolve) => {
      this.#child.once("exit", (status, signal) => resolve(signal ?? status ?? 0));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** HOST:PORT of its gRPC service, of a coordinator. */
  get grpc(): string {
    return this.#grpc;
  }

  /** Resolves once it serves; rejects with what it failed with. */
  async ready(): Promise<this> {
    const said = new Promise<unknown>((resolve) => this.#child.once("message", resolve));
    const message = asChildMessage(await Promise.race([said, this.ended]));
    if (message?.type !== "ready") throw new Error(`not ready: ${JSON.stringify(message)}`);
    this.#grpc = message.grpc ?? "";
    this.#http = message.http ?? "";
    return this;
  }

  /** As a crash or the kernel would. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  /** In order; resolves to the exit status. */
  stop(): Promise<number | string> {
    this.#child.kill("SIGTERM");
    return this.ended;
  }

  /** What /metrics says now. */
  async metrics(): Promise<Scrape> {
    const answer = await fetch(`http://${this.#http}/metrics`);
    return parseMetrics(await answer.text());
  }

  /** Process ids of the programs below this process whose command line has the word. */
  async children(word: string): Promise<readonly number[]> {
    return (await descendants(this.pid)).filter((pid) => commandLine(pid).includes(word));
  }

  /** The engine process of a worker with one device. */
  async engine(): Promise<number> {
    let found: readonly number[] = [];
    const one = async () => {
      found = await this.children("engine-process.js");
      return found.length === 1;
    };
    await eventually(one, { limitMs: 20_000, what: "the worker has one engine process" });
    return found[0] ?? 0;
  }
}

/** A sandbox with processes of a farm. */
export class FarmSandbox extends CliSandbox {
  /** A sandbox that goes away, with all its processes, after the test. */
  static of(t: TestContext): FarmSandbox {
    const sandbox = new FarmSandbox();
    t.after(() => sandbox.dispose());
    return sandbox;
  }

  get dataFolder(): string {
    return this.path("data");
  }

  get artifactsFolder(): string {
    return this.path("data", "artifacts");
  }

  coordinator(...flags: readonly string[]): Promise<FarmProcess> {
    const args = ["--data", this.dataFolder, "--lease-seconds", "3", ...flags];
    return this.#start("coordinator/main.js", args).ready();
  }

  /** A worker on the CPU with one thread, unless the flags say otherwise. */
  worker(coordinator: FarmProcess, id: string, ...flags: readonly string[]): Promise<FarmProcess> {
    const folders = ["--data", this.path(id), "--artifacts", this.artifactsFolder];
    const args = ["--coordinator", coordinator.grpc, "--id", id, "--model", demoModel, ...folders];
    const threads = flags.includes("--threads") ? [] : ["--threads", "1"];
    return this.#start("worker/main.js", [...args, ...threads, ...flags]).ready();
  }

  #start(main: string, args: readonly string[]): FarmProcess {
    return new FarmProcess(main, args, {
      ...process.env,
      TOCAFARM_DATA: this.dataFolder,
      TOCAFARM_CACHE: this.path("cache"),
    });
  }
}

/** A client that is closed after the test. */
export function clientOf(t: TestContext, { grpc }: FarmProcess): FarmClient {
  const client = new FarmClient(grpc);
  t.after(() => client.close());
  return client;
}

/** Waits until workers of these names are connected, each with an idle device. */
export async function idleWorkers(client: FarmClient, ...ids: readonly string[]): Promise<void> {
  const idle = async () => {
    const workers = await client.workers();
    return ids.every((id) =>
      workers.some(
        (worker) => worker.id === id && worker.connected && worker.devices[0]?.state === "idle",
      ),
    );
  };
  await eventually(idle, { limitMs: 20_000, what: `${ids.join(" and ")} are idle` });
}

/** Seconds that a process has spent on processors. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticksPerSecond = 100; // what Linux tells user space on every platform
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // it has just ended
  }
}
