// Puts a worker together: lock, models, store, metrics, a supervisor for each device, the agent
// over them and the link to the coordinator; and says in what order all that is taken down.
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { openStore } from "../artifacts/open.js";
import { FarmError } from "../common/errors.js";
import { lockFolder } from "../common/folder-lock.js";
import { type HttpRoutes, startHttp, textAnswer } from "../common/http.js";
import type { Serving, Teardown } from "../common/lifecycle.js";
import type { Log } from "../common/log.js";
import { packageVersion } from "../common/version.js";
import { Agent } from "./agent.js";
import { defaultWorkerId, type WorkerConfig } from "./config.js";
import { startEngineChild } from "./engine-child.js";
import { Link } from "./link.js";
import { WorkerMetrics } from "./metrics.js";
import { type CatalogModel, readCatalog } from "./model-catalog.js";
import { Supervisor } from "./supervisor.js";

export interface WorkerOptions {
  readonly config: WorkerConfig;
  readonly log: Log;
  readonly teardown: Teardown;
  readonly signal: AbortSignal;
  /** Aborts when the grace is over before its time. */
  readonly hurry: AbortSignal;
  /** True when nobody is left to wait for: everything is then taken down at once. */
  readonly orphaned: () => boolean;
}

/** What goodbye takes on a stream that works. */
const linkStopMsMax = 2_000;
/** On top of the grace: an engine that has to be killed, and goodbye. */
export const stopMsMargin = 15_000;

/**
 * Starts a worker; resolves when every device has come up or failed, and throws when none came up.
 */
export async function startWorker(options: WorkerOptions): Promise<Serving> {
  const { config, log, teardown, signal } = options;
  const lock = await lockFolder(config.dataFolder);
  teardown.add("lock", () => lock.release());
  const attemptsFolder = join(lock.folder, "attempts");
  await rm(attemptsFolder, { recursive: true, force: true }); // what a killed worker left
  const store = await openStore(config.artifacts);
  const models = await readCatalog(config.modelFolders, config.dtype, config.cache);
  const metrics = new WorkerMetrics();
  const agent = new Agent({
    workerId: config.id ?? defaultWorkerId(tokenOf(lock.folder)),
    version: packageVersion(),
    models,
    modelMessages: [...models.values()].map(({ message }) => message),
    store,
    metrics,
    log,
    folder: attemptsFolder,
    checkpointPeriodSeconds: config.checkpointPeriodSeconds,
  });
  const devices = new Devices({ config, log, agent, metrics, models });
  const http = await startHttp({ listen: config.http, log, routes: routesOf(metrics, devices) });
  teardown.add("http", () => http.stop());
  devices.start();
  teardown.add("devices", () => devices.stop());
  startLink(options, agent);
  await devices.settled(signal);
  return { http: http.address, broken: new Promise(() => {}) };
}

function startLink(options: WorkerOptions, agent: Agent): void {
  const { config, log, teardown, hurry, orphaned } = options;
  const link = new Link({
    coordinators: config.coordinators,
    log,
    hello: () => agent.hello(),
    progress: () => agent.progress(),
    onLease: (lease) => agent.onLease(lease),
    onCancel: (cancel) => agent.onCancel(cancel),
    onCut: (cut) => agent.onCut(cut),
    onCanary: (canary) => agent.onCanary(canary),
    random: Math.random,
  });
  agent.attach(link);
  link.start();
  teardown.add("link", () => link.stop(orphaned() ? 0 : linkStopMsMax));
  teardown.add("attempts", () => (orphaned() ? undefined : agent.drain(config.graceMs, hurry)));
}

interface DevicesOptions {
  readonly config: WorkerConfig;
  readonly log: Log;
  readonly agent: Agent;
  readonly metrics: WorkerMetrics;
  readonly models: ReadonlyMap<string, CatalogModel>;
}

/** The supervisors of all devices. */
class Devices {
  readonly #supervisors: readonly Supervisor[];
  #onSettled: (() => void) | undefined;

  constructor(options: DevicesOptions) {
    const { config, agent, metrics, models } = options;
    this.#supervisors = config.devices.map((device) => this.#supervisor(device, options));
    for (const supervisor of this.#supervisors) {
      const { device } = supervisor.settings;
      agent.addDevice(supervisor);
      metrics.addDevice(device);
      for (const { name, modules } of models.values()) metrics.addModel(device, name, modules);
    }
  }

  get anyReady(): boolean {
    return this.#supervisors.some(({ status }) => status === "ready");
  }

  start(): void {
    for (const supervisor of this.#supervisors) supervisor.start();
  }

  /** Resolves when no device is starting any more; throws the first failure when none is ready. */
  async settled(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
      this.#onSettled = resolve;
      this.#checkSettled();
    });
    signal.throwIfAborted();
    const failure = this.#supervisors.find((supervisor) => supervisor.failure)?.failure;
    if (!this.anyReady && failure !== undefined) throw failure;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.stop()));
  }

  #supervisor(device: string, { config, log, agent, metrics, models }: DevicesOptions): Supervisor {
    const [model] = models.values();
    if (model === undefined) throw new FarmError("INVALID_ARGUMENT", "a worker needs a model");
    const { name, path, configs, traits } = model;
    return new Supervisor({
      settings: { device, dtype: config.dtype, threads: config.threads, cache: config.cache },
      model: { name, path, configs, traits },
      startChild: startEngineChild,
      random: Math.random,
      log,
      onChange: () => {
        agent.onDeviceChange(device);
        this.#checkSettled();
      },
      onRestart: (reason) => metrics.countRestart(device, reason),
    });
  }

  #checkSettled(): void {
    if (this.#supervisors.every(({ status }) => status !== "starting")) this.#onSettled?.();
  }
}

function routesOf(metrics: WorkerMetrics, devices: Devices): HttpRoutes {
  return {
    "/": () => textAnswer("a tocafarm worker: /metrics /healthz /readyz\n"),
    "/healthz": () => textAnswer("ok\n"),
    "/readyz": () =>
      devices.anyReady ? textAnswer("ready\n") : textAnswer("no device is ready\n", 503),
    "/metrics": async () => ({ status: 200, ...(await metrics.scrape()) }),
  };
}

function tokenOf(folder: string): string {
  return createHash("sha256").update(folder).digest("hex").slice(0, 8);
}
