// An agent with one device whose engine process a test plays by hand, over a real store that can be
// held up or broken.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { openFolderStore } from "../../artifacts/folder.js";
import type { ArtifactStore } from "../../artifacts/port.js";
import { FarmError } from "../../common/errors.js";
import { silentLog } from "../../common/log.js";
import type { ConnectRequest } from "../../proto/gen/tocafarm/v1/worker.js";
import { Agent } from "../../worker/agent.js";
import type { RenderJob, StepsMessage } from "../../worker/engine-messages.js";
import { WorkerMetrics } from "../../worker/metrics.js";
import { Supervisor } from "../../worker/supervisor.js";
import { openedMessage, PlayedEngine, playedModel } from "./worker-engine-child.js";
import { eventually } from "./worker-process.js";

export type Said = NonNullable<ConnectRequest["message"]>;

/** An agent, its played engine process, and what it says. */
export class AgentStage {
  readonly agent: Agent;
  readonly engine: PlayedEngine;
  readonly store: HeldStore;
  readonly said: Said[] = [];
  readonly metrics = new WorkerMetrics();

  private constructor(folder: string, store: HeldStore) {
    this.store = store;
    this.engine = new PlayedEngine();
    const agent = new Agent({
      ...{ workerId: "w", version: "1", modelMessages: [], store, log: silentLog },
      models: new Map([[playedModel.name, playedModel]]),
      metrics: this.metrics,
      folder: join(folder, "attempts"),
      checkpointPeriodSeconds: 10,
    });
    this.agent = agent;
    const supervisor = new Supervisor({
      settings: { device: "cpu", dtype: "fp32", threads: 0, cache: null },
      model: playedModel,
      random: () => 0,
      log: silentLog,
      startChild: this.engine.start,
      onChange: () => agent.onDeviceChange("cpu"),
      onRestart: () => {},
    });
    agent.addDevice(supervisor);
    agent.attach({
      send: (message) => this.said.push(message),
      progressNow: () => {},
      progressSoon: () => {},
    });
    supervisor.start();
    this.engine.says(openedMessage);
  }

  /** A stage whose device is ready. */
  static async of(t: TestContext): Promise<AgentStage> {
    const folder = await mkdtemp(join(tmpdir(), "tocafarm-agent-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const store = await openFolderStore(join(folder, "artifacts"));
    return new AgentStage(folder, new HeldStore(store));
  }

  /** Waits for the job with that number, from 1. */
  async job(number: number): Promise<RenderJob> {
    await this.becomes(() => this.engine.jobs.length >= number, `job ${number}`);
    const job = this.engine.jobs[number - 1];
    assert.ok(job);
    return job;
  }

  /** Plays an engine that has rendered the job. */
  async renders(job: RenderJob): Promise<void> {
    await writeFile(join(job.folder, "video.mp4"), "frames");
    const rest = {
      cleanedPrompt: "p",
      sampler: "s",
      planDigest: "d",
      weightsDigest: "w",
      kind: "k",
    };
    const size = { frames: 17, height: 64, width: 64 };
    const output = { media: "video.mp4", others: [], ...size, ...rest };
    this.engine.tells({ type: "done", output }, this.engine.jobs.indexOf(job) + 1);
  }

  /** As `renders`, and waits for the report. */
  async finishes(job: RenderJob): Promise<void> {
    const before = this.said.length;
    await this.renders(job);
    await this.becomes(() => this.said.length > before, "a report");
  }

  /** Plays an engine that has done steps of one second each, up to `step`. */
  steps(step: number, stepSeconds: readonly number[]): void {
    this.engine.tells(stepsMessage(step, stepSeconds));
  }

  /** Plays an engine that has written a checkpoint. */
  async keeps(job: RenderJob, step: number): Promise<void> {
    const path = join(job.folder, `checkpoint-${step}.safetensors`);
    await writeFile(path, `state before step ${step}`);
    this.engine.tells({ type: "checkpoint", step, path }, this.engine.jobs.indexOf(job) + 1);
  }

  /** Plays an engine that gives up a clip and goes on. */
  fails(code: "IO" | "INTERRUPTED" | "CANCELLED" | "INVALID_CHECKPOINT", message = "why"): void {
    this.engine.tells({ type: "failed", code, message, engineUsable: true });
  }

  get reported(): readonly string[] {
    return this.said.map(({ $case }) => $case);
  }

  async becomes(condition: () => boolean, what: string): Promise<void> {
    await eventually(condition, { limitMs: 5_000, what });
  }
}

export function stepsMessage(step: number, stepSeconds: readonly number[]): StepsMessage {
  const module = { layer: 0, block: "spatial", module: "mlp", calls: 1, seconds: 1 } as const;
  return {
    ...{ type: "steps", step, steps: 10, stepSeconds, flops: 10, flopsNone: 30 },
    modules: [{ ...module, tokensComputed: 5, tokensReused: 7, flops: 10, drift: null }],
  };
}

/** A store whose files wait while it is held, and fail while it is full or away. */
export class HeldStore implements ArtifactStore {
  readonly #store: ArtifactStore;
  readonly put: ArtifactStore["put"];
  readonly list: ArtifactStore["list"];
  readonly delete: ArtifactStore["delete"];
  readonly sweepParts: ArtifactStore["sweepParts"];
  full = false;
  /** It answers no reader. */
  away = false;
  /** Keys whose files have been handed over, stored or not. */
  readonly begun: string[] = [];
  #heldPrefix = "";
  #held: Promise<void> = Promise.resolve();
  #release: () => void = () => {};

  constructor(store: ArtifactStore) {
    this.#store = store;
    this.put = store.put.bind(store);
    this.list = store.list.bind(store);
    this.delete = store.delete.bind(store);
    this.sweepParts = store.sweepParts.bind(store);
  }

  /** Files whose keys begin so wait from now on. */
  hold(prefix = ""): void {
    this.#heldPrefix = prefix;
    this.#held = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  release(): void {
    this.#release();
  }

  async putFile(key: string, path: string) {
    this.begun.push(key);
    if (key.startsWith(this.#heldPrefix)) await this.#held;
    if (this.full) throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
    return this.#store.putFile(key, path);
  }

  async *get(key: string): AsyncIterable<Uint8Array> {
    this.#checkAnswering();
    yield* this.#store.get(key);
  }

  async head(key: string) {
    this.#checkAnswering();
    return this.#store.head(key);
  }

  #checkAnswering(): void {
    if (this.away) throw new FarmError("IO", "the store does not answer");
  }

  async keys(): Promise<readonly string[]> {
    const keys: string[] = [];
    for await (const { key } of this.list("")) keys.push(key);
    return keys.sort();
  }
}
