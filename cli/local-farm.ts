// A farm on this machine for the life of one command: a coordinator with its own nats-server, and
// workers, each a process. Folder: the coordinator's data, and workers/<n> for each worker.
import { availableParallelism } from "node:os";
import path from "node:path";
import { sleep } from "../common/clock.js";
import { FarmError } from "../common/errors.js";
import { FarmProcess, type ServingAddresses } from "./child-process.js";
import { FarmClient } from "./farm-client.js";

export interface LocalFarmOptions {
  readonly data: string;
  /** Model folders. */
  readonly models: readonly string[];
  /** "cpu" and "cuda:N"; empty = the CPU. */
  readonly devices: readonly string[];
  /** Agents on the CPU. */
  readonly cpuWorkers: number;
  /** Of each engine on the CPU; 0 = the cores shared out evenly. */
  readonly threads: number;
  readonly dtype?: string;
  readonly listen?: string;
  readonly http?: string;
  /** File of the coordinator's rules. */
  readonly rules?: string;
  readonly logLevel: string;
  readonly showLog: boolean;
}

export interface LocalWorker {
  readonly id: string;
  readonly devices: readonly string[];
  readonly threads: number;
  /** HOST:PORT of /metrics. */
  readonly http: string;
}

// From the worker's side this is one round trip after it has said that it is ready.
const joinMsMax = 15_000;
const joinPollMs = 50;

export class LocalFarm {
  readonly #options: LocalFarmOptions;
  readonly #processes: FarmProcess[] = [];
  #grpc = "";
  #http = "";
  #workers: readonly LocalWorker[] = [];

  constructor(options: LocalFarmOptions) {
    this.#options = options;
  }

  /** HOST:PORT of the coordinator's gRPC service. */
  get grpc(): string {
    return this.#grpc;
  }

  /** HOST:PORT of the coordinator's metrics. */
  get http(): string {
    return this.#http;
  }

  get workers(): readonly LocalWorker[] {
    return this.#workers;
  }

  /**
   * Resolves when every worker has joined. Throws what a process failed with; call stop then too.
   */
  async start(signal: AbortSignal): Promise<void> {
    const coordinator = await this.#startCoordinator(signal);
    this.#grpc = coordinator.grpc ?? "";
    this.#http = coordinator.http ?? "";
    const plans = planWorkers(this.#options);
    this.#workers = await Promise.all(plans.map((plan) => this.#startWorker(plan, signal)));
    await this.#joined(signal);
  }

  /** Rejects when a process has ended by itself; never resolves. */
  broken(): Promise<never> {
    return Promise.race(this.#processes.map((child) => child.broken()));
  }

  /** Workers first, so that they can hand back what they hold. */
  async stop(): Promise<void> {
    const [coordinator, ...workers] = this.#processes.splice(0);
    await Promise.all(workers.map((worker) => worker.stop()));
    await coordinator?.stop();
  }

  #startCoordinator(signal: AbortSignal): Promise<ServingAddresses> {
    const { data, listen, http, rules, logLevel, showLog } = this.#options;
    const args = [
      ...["--data", data, "--log-level", logLevel],
      ...(listen === undefined ? [] : ["--listen", listen]),
      ...(http === undefined ? [] : ["--http", http]),
      ...(rules === undefined ? [] : ["--rules", rules]),
    ];
    return this.#fork(
      { name: "the coordinator", main: "coordinator/main.js", args, showLog },
      signal,
    );
  }

  async #startWorker(plan: WorkerPlan, signal: AbortSignal): Promise<LocalWorker> {
    const { data, models, dtype, logLevel, showLog } = this.#options;
    const args = [
      ...["--coordinator", this.#grpc, "--id", plan.id],
      ...["--data", path.join(data, "workers", plan.id)],
      ...["--artifacts", path.join(data, "artifacts")],
      ...models.flatMap((model) => ["--model", model]),
      ...plan.devices.flatMap((device) => ["--device", device]),
      ...["--threads", `${plan.threads}`, "--log-level", logLevel, "--grace-seconds", "0"],
      ...(dtype === undefined ? [] : ["--dtype", dtype]),
    ];
    const worker = { name: plan.id, main: "worker/main.js", args, showLog };
    const { http = "" } = await this.#fork(worker, signal);
    return { ...plan, http };
  }

  #fork(
    options: ConstructorParameters<typeof FarmProcess>[0],
    signal: AbortSignal,
  ): Promise<ServingAddresses> {
    const child = new FarmProcess(options);
    this.#processes.push(child);
    return child.ready(signal);
  }

  /** A worker is ready a moment before the coordinator has heard of its models. */
  async #joined(signal: AbortSignal): Promise<void> {
    const client = new FarmClient(this.#grpc);
    try {
      for (let waitedMs = 0; waitedMs < joinMsMax; waitedMs += joinPollMs) {
        const connected = (await client.workers(signal)).filter((worker) => worker.connected);
        const ids = new Set(connected.map(({ id }) => id));
        if (this.#workers.every(({ id }) => ids.has(id))) return;
        await sleep(joinPollMs, signal);
      }
      throw new FarmError("UNAVAILABLE", "a worker did not join: --verbose shows why");
    } finally {
      client.close();
    }
  }
}

export type WorkerPlan = Omit<LocalWorker, "http">;

/** One worker for all GPUs, and as many as asked for on the CPU, which share its cores. */
export function planWorkers(
  options: Pick<LocalFarmOptions, "devices" | "cpuWorkers" | "threads">,
  cores = availableParallelism(),
): readonly WorkerPlan[] {
  const gpus = options.devices.filter((device) => device !== "cpu");
  const usesCpu = gpus.length === 0 || options.devices.includes("cpu");
  const cpuWorkers = usesCpu ? options.cpuWorkers : 0;
  const threads = options.threads || Math.max(1, Math.floor(cores / Math.max(1, cpuWorkers)));
  const devices = [
    ...(gpus.length > 0 ? [gpus] : []),
    ...Array.from({ length: cpuWorkers }, () => ["cpu"]),
  ];
  return devices.map((names, index) => ({ id: `worker-${index + 1}`, devices: names, threads }));
}
