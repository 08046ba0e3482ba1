// A farm as somebody would run it for good, on loopback: a nats-server, one or two coordinators and
// workers with the real engine, each started again by its keeper when it ends, and wires between
// them that can be frozen. Everything keeps its address, so whatever comes back is found again.
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { TestContext } from "node:test";
import { FarmClient } from "../../cli/farm-client.js";
import { asFarmError } from "../../common/errors.js";
import { packageRoot } from "../../common/paths.js";
import { type Clip, SubmitBatchRequest } from "../../proto/gen/tocafarm/v1/farm.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import { freePort, Kept, NatsProcess, orphans, type Started, signal } from "./chaos-kept.js";
import { Wire } from "./chaos-wire.js";
import { CliSandbox } from "./cli-process.js";
import { demoSpec } from "./demo-spec.js";
import { demoPrompts, digests, ended } from "./farm-batches.js";
import { demoModel, FarmProcess } from "./farm-processes.js";
import { eventually } from "./worker-process.js";

/** Within which whatever was below a killed process is gone. */
const goneMsMax = 2_000;

export interface ChaosOptions {
  /** Its processes' logs are kept below build/test/chaos/ under this name. */
  readonly name: string;
  /** [2] */
  readonly coordinators?: number;
  /** [2] */
  readonly workers?: number;
  /** Folders that lie elsewhere than in the sandbox. */
  readonly natsFolder?: string;
  readonly artifactsFolder?: string;
  /** Of every worker's data, with its name behind it. */
  readonly workersFolder?: string;
  /** So many workers, the first ones, reach the coordinators over wires. [0] */
  readonly wired?: number;
}

/** A main of dist/ with a keeper. */
export interface StartedMain extends Started {
  readonly main: FarmProcess;
}

/** Failures that the tests cause shall not use up anybody's tries; a wait is short. */
const rules = {
  retry: { failuresMax: 1_000, workerFailuresMax: 1_000, backoffMs: 100, backoffMsMax: 1_000 },
  quarantine: { backoffMs: 500, backoffMsMax: 1_000, canariesMax: 1_000 },
};

/** A batch whose bits are known from an undisturbed run. */
export interface Submitted {
  readonly batch: string;
  /** What `bitsOf` gives of each clip. */
  readonly expected: readonly string[];
}

/**
 * The manifest of a clip, which holds the digest of its media; its files are held against the log.
 * Where an attempt has gone on from a checkpoint, the manifest says so, and that is left out.
 */
export function bitsOf(artifactsFolder: string, clip: Clip): string {
  digests(artifactsFolder, clip);
  const key = clip.artifacts.find((artifact) => artifact.key.endsWith("/manifest.json"))?.key ?? "";
  const manifest = JSON.parse(readFileSync(path.join(artifactsFolder, key), "utf8"));
  return JSON.stringify({ ...manifest, resumed_from: null });
}

/** Tries again for as long as nobody leads; the test's own limit ends it. */
async function untilLed<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (thrown) {
      if (asFarmError(thrown).code !== "UNAVAILABLE") throw thrown;
    }
  }
}

/** What is rendered: two clips, of the first two prompts. */
export type Changes = Partial<RenderSpec>;

export class ChaosFarm {
  readonly sandbox = new CliSandbox();
  readonly natsPort: number;
  readonly artifactsFolder: string;
  readonly nats: Kept;
  /** Of each coordinator to NATS. */
  readonly natsWires: readonly Wire[];
  /** Of the wired workers to each coordinator. */
  readonly workerWires: readonly Wire[];
  readonly coordinators: readonly Kept<StartedMain>[];
  readonly workers: readonly Kept<StartedMain>[];
  /** HOST:PORT of each coordinator. */
  readonly addresses: readonly string[];
  readonly client: FarmClient;
  readonly #workersFolder: string;
  readonly #logFolder: string;
  readonly #references = new Map<string, Promise<Submitted["expected"]>>();

  /** Starts a farm and waits until it renders; it is gone after the test. */
  static async start(t: TestContext, options: ChaosOptions): Promise<ChaosFarm> {
    const { coordinators = 2 } = options;
    const natsPort = await freePort();
    const addresses: string[] = [];
    const natsWires: Wire[] = [];
    const workerWires: Wire[] = [];
    for (let index = 0; index < coordinators; index++) {
      const address = `127.0.0.1:${await freePort()}`;
      addresses.push(address);
      natsWires.push(await Wire.to(t, `127.0.0.1:${natsPort}`));
      workerWires.push(await Wire.to(t, address));
    }
    const farm = new ChaosFarm({ natsPort, addresses, natsWires, workerWires }, options);
    t.after(() => farm.stop());
    await farm.calm();
    return farm;
  }

  private constructor(
    places: Pick<ChaosFarm, "natsPort" | "addresses" | "natsWires" | "workerWires">,
    options: ChaosOptions,
  ) {
    this.natsPort = places.natsPort;
    this.addresses = places.addresses;
    this.natsWires = places.natsWires;
    this.workerWires = places.workerWires;
    this.artifactsFolder = options.artifactsFolder ?? this.sandbox.path("artifacts");
    this.#workersFolder = options.workersFolder ?? this.sandbox.folder;
    const natsFolder = options.natsFolder ?? this.sandbox.path("nats");
    this.#logFolder = path.join(packageRoot(), "build", "test", "chaos", options.name);
    rmSync(this.#logFolder, { recursive: true, force: true });
    for (const folder of [natsFolder, this.#logFolder]) mkdirSync(folder, { recursive: true });
    writeFileSync(this.sandbox.path("rules.json"), JSON.stringify(rules));
    this.nats = new Kept("nats", () => this.#startNats(natsFolder));
    this.coordinators = this.addresses.map(
      (_, index) => new Kept(`c${index + 1}`, () => this.#startCoordinator(index)),
    );
    const workers = Array.from({ length: options.workers ?? 2 }, (_, index) => `w${index + 1}`);
    const wired = this.workerWires.map((wire) => wire.address);
    this.workers = workers.map((id, index) => {
      const toDial = index < (options.wired ?? 0) ? wired : this.addresses;
      return new Kept(id, () => this.#startWorker(id, toDial));
    });
    this.client = new FarmClient(this.addresses);
  }

  get natsUrl(): string {
    return `nats://127.0.0.1:${this.natsPort}`;
  }

  /** Folder of a worker's own. */
  workerFolder(id: string): string {
    return `${this.#workersFolder}/${id}`;
  }

  /** Waits until every process serves, and every device waits for work. */
  async calm(): Promise<void> {
    for (const kept of [this.nats, ...this.coordinators, ...this.workers]) await kept.serving();
    const idle = async () => {
      const workers = await this.client.workers().catch(() => []);
      return this.workers.every(({ name }) =>
        workers.some(
          ({ id, connected, devices }) =>
            id === name && connected && devices.every(({ state }) => state === "idle"),
        ),
      );
    };
    await eventually(idle, { limitMs: 60_000, what: "every device is idle" });
  }

  /** The coordinator that leads. */
  async leader(): Promise<Kept<StartedMain>> {
    const { leader } = await this.client.farm();
    const found = this.coordinators[this.addresses.indexOf(leader)];
    if (found === undefined) throw new Error(`"${leader}" leads and is none of the farm's`);
    return found;
  }

  /** Sends a batch of two clips, again and again under the same key until it is accepted. */
  submit(changes: Changes, key: string = randomUUID()): Promise<Submitted> {
    return untilLed(() => this.submitOnce(changes, key));
  }

  cancel(batch: string): Promise<unknown> {
    return untilLed(() => this.client.cancel(batch));
  }

  /** Throws UNAVAILABLE when nobody who leads is found for a while. */
  async submitOnce(changes: Changes, key: string = randomUUID()): Promise<Submitted> {
    const expected = await this.#expected(changes);
    return { expected, batch: await this.#submit(changes, key) };
  }

  /** Renders what will be compared, while nothing is disturbed. */
  async learn(...kinds: readonly Changes[]): Promise<void> {
    for (const changes of kinds) await this.#expected(changes);
  }

  /** kill -9; nothing of what was below the process may be there 2 s later. */
  async kill(pid: number | undefined): Promise<void> {
    if (pid === undefined || !signal(pid, "SIGKILL")) return;
    await this.noOrphans();
  }

  async noOrphans(): Promise<void> {
    const none = () => orphans(this.sandbox).length === 0;
    await eventually(none, { limitMs: goneMsMax, what: "what was below a killed process is gone" });
  }

  /** Ends everything in order; nothing may be left. */
  async stop(): Promise<void> {
    this.client.close();
    for (const wire of [...this.natsWires, ...this.workerWires]) wire.thaw();
    for (const pid of this.sandbox.processes()) signal(pid, "SIGCONT");
    const inOrder = [this.workers, this.coordinators, [this.nats]];
    try {
      for (const group of inOrder) await Promise.all(group.map((kept) => kept.stop()));
      await this.sandbox.allGone(goneMsMax);
    } finally {
      this.sandbox.dispose();
    }
  }

  #expected(changes: Changes): Promise<Submitted["expected"]> {
    const key = JSON.stringify(changes, (_, value) =>
      typeof value === "bigint" ? `${value}` : value,
    );
    const known = this.#references.get(key) ?? this.#undisturbed(changes);
    this.#references.set(key, known);
    return known;
  }

  async #undisturbed(changes: Changes): Promise<Submitted["expected"]> {
    const { clips } = await ended(this.client, await this.#submit(changes, randomUUID()));
    if (clips.some(({ attempt }) => attempt !== 1)) throw new Error("the run was disturbed");
    return clips.map((clip) => bitsOf(this.artifactsFolder, clip));
  }

  async #submit(changes: Changes, idempotencyKey: string): Promise<string> {
    const prompts = demoPrompts.slice(0, 2);
    const request = SubmitBatchRequest.fromPartial({ name: "chaos", prompts, idempotencyKey });
    const { id } = await this.client.submit({ ...request, spec: { ...demoSpec, ...changes } });
    return id;
  }

  #startNats(folder: string): NatsProcess {
    const { sandbox, natsPort: port } = this;
    const files = { configFile: sandbox.path("nats.conf"), logFile: this.#logFile("nats") };
    return new NatsProcess({ folder, port, ...files }, this.#environment);
  }

  #startCoordinator(index: number): StartedMain {
    const name = `c${index + 1}`;
    const address = this.addresses[index] ?? "";
    const wire = this.natsWires[index]?.address ?? "";
    return this.#startMain("coordinator/main.js", name, [
      ...["--data", this.sandbox.path(name), "--artifacts", this.artifactsFolder],
      ...["--listen", address, "--nats", `nats://${wire}`],
      ...["--lease-seconds", "3", "--rules", this.sandbox.path("rules.json")],
    ]);
  }

  #startWorker(id: string, coordinators: readonly string[]): StartedMain {
    return this.#startMain("worker/main.js", id, [
      ...["--coordinator", coordinators.join(","), "--id", id, "--model", demoModel],
      ...["--data", this.workerFolder(id), "--artifacts", this.artifactsFolder],
      ...["--threads", "1", "--checkpoint-seconds", "1", "--grace-seconds", "1"],
    ]);
  }

  #startMain(main: string, name: string, args: readonly string[]): StartedMain {
    const process = new FarmProcess(main, args, this.#environment, this.#logFile(name));
    return { main: process, pid: process.pid, serves: process.ready(), ended: process.ended };
  }

  #logFile(name: string): string {
    return path.join(this.#logFolder, `${name}.log`);
  }

  /** The folder's name in it tells which processes belong to the sandbox. */
  get #environment(): NodeJS.ProcessEnv {
    const { sandbox } = this;
    const folders = { TOCAFARM_DATA: sandbox.path("data"), TOCAFARM_CACHE: sandbox.path("cache") };
    return { ...process.env, ...folders };
  }
}
