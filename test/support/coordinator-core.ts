// A farm in memory for tests of the core: commands go in, time is a number that the test moves, and
// every event is kept, so that a replay can be compared with the state that grew.

import { apply } from "../../coordinator/core/apply.js";
import type { Command, Decision, Submission } from "../../coordinator/core/commands.js";
import type {
  AttemptRef,
  FarmEvent,
  PlanFigures,
  Preview,
  RenderSpec,
  RenderTotals,
} from "../../coordinator/core/events.js";
import { type Farm, handle, openFarm } from "../../coordinator/core/farm.js";
import type { DeviceInfo, WorkerHello } from "../../coordinator/core/liveness.js";
import { defaultRules, type Rules } from "../../coordinator/core/rules.js";
import { decodeState, encodeState } from "../../coordinator/core/snapshot.js";
import { emptyState, type Lease, type State } from "../../coordinator/core/state.js";

export const testSpec: RenderSpec = {
  model: "demo",
  frames: 17,
  height: 64,
  width: 64,
  fps: 24,
  saveFps: 24,
  steps: 30,
  guidance: 7,
  seed: "42",
  policy: { name: "toca", options: {} },
  scores: null,
  dtype: "",
  device: "",
  initialLatentKey: "",
  saveLatent: false,
  saveFrames: false,
  sampler: "",
  trace: "none",
};

export const noTotals: RenderTotals = {
  tokensComputed: 10,
  tokensReused: 30,
  flops: 1e9,
  flopsNone: 4e9,
  textEncodeSeconds: 0.1,
  denoiseSeconds: 1,
  decodeSeconds: 0.2,
  encodeSeconds: 0.1,
  uploadSeconds: 0.1,
};

/** Of 30 steps, of which every tenth can be resumed from. */
export const testPlan: PlanFigures = {
  flops: 1e9,
  flopsNone: 4e9,
  cacheBytes: 1,
  peakBytes: 2,
  digest: "d",
  warnings: [],
  refreshPoints: [10, 20],
};

export const testPreview: Preview = {
  steps: 3,
  policy: { name: "toca", options: {} },
  plan: { ...testPlan, flops: 1e8, refreshPoints: [1, 2] },
};

export function testSubmission(batch: string, changes: Partial<Submission> = {}): Submission {
  return {
    batch,
    name: "test",
    tenant: "default",
    priority: 2,
    spec: testSpec,
    weightsDigest: "w",
    clips: 3,
    segments: 1,
    promptsKey: "blobs/00",
    promptsSha256: "00",
    plan: testPlan,
    preview: null,
    deadlineAt: null,
    idempotencyKey: "",
    bodySha256: "b",
    ...changes,
  };
}

export function testDevice(changes: Partial<DeviceInfo> = {}): DeviceInfo {
  return {
    name: "cpu",
    kind: "cpu-x",
    memoryBytes: 8e9,
    dtype: "fp32",
    condition: "ready",
    loadedModel: "",
    ...changes,
  };
}

export const testModel = {
  name: "demo",
  weightsDigest: "w",
  transformerConfig: "{}",
  vaeConfig: "",
  textEncoderConfig: "",
  modelIndex: "",
};

export function testHello(id: string, changes: Partial<WorkerHello> = {}): WorkerHello {
  return {
    id,
    version: "0",
    devices: [testDevice()],
    models: [testModel],
    held: [],
    draining: false,
    ...changes,
  };
}

/** A farm whose log is an array. */
export class TestFarm {
  farm: Farm;
  now = 1_000;
  readonly turns: (readonly FarmEvent[])[] = [];
  readonly #rules: Rules;

  constructor(rules: Rules = defaultRules) {
    this.#rules = rules;
    this.farm = openFarm(emptyState(), rules, this.now);
  }

  get state() {
    return this.farm.state;
  }

  get events(): readonly FarmEvent[] {
    return this.turns.flat();
  }

  do(command: Command): Decision {
    const decision = handle(this.farm, command, this.now, this.turns.length + 1);
    if (decision.events.length > 0) this.turns.push(decision.events);
    return decision;
  }

  submit(batch: string, changes: Partial<Submission> = {}): Decision {
    return this.do({ type: "submit", submission: testSubmission(batch, changes) });
  }

  /** An agent says Hello and asks for work on every device. */
  join(id: string, changes: Partial<WorkerHello> = {}): Decision {
    const decision = this.do({ type: "hello", hello: testHello(id, changes) });
    this.ask(id);
    return decision;
  }

  /**
   * The agent reports what it holds (`step` steps done, "" = not begun) and that all its devices
   * want work.
   */
  ask(worker: string, step = 0, stage = "denoise"): Decision {
    const idleDevices = [...(this.farm.live.workers.get(worker)?.devices.keys() ?? [])];
    return this.report(worker, { step, stage, idleDevices });
  }

  /** The agent reports what it holds; no device wants anything unless it is named. */
  report(
    worker: string,
    {
      step = 0,
      stage = "denoise",
      idleDevices = [],
      draining = false,
    }: {
      readonly step?: number;
      readonly stage?: string;
      readonly idleDevices?: readonly string[];
      readonly draining?: boolean;
    } = {},
  ): Decision {
    const attempts = this.leasesOf(worker).map(({ batch, clip, attempt }) => ({
      ...{ batch, clip, attempt, step, steps: 30, stage, totals: null },
    }));
    return this.do({ type: "progress", worker, attempts, idleDevices, draining });
  }

  place(): Decision {
    return this.do({ type: "place" });
  }

  wait(ms: number): Decision {
    this.now += ms;
    return this.do({ type: "expire" });
  }

  complete(worker: string, ref: AttemptRef): Decision {
    const key = `clips/${ref.batch}.${ref.clip}/${ref.attempt}/clip.mp4`;
    const artifacts = [{ key, sha256: "ab", sizeBytes: 1 }];
    return this.do({ type: "completed", worker, ref, artifacts, totals: noTotals });
  }

  checkpoint(worker: string, ref: AttemptRef, step: number): Decision {
    const key = `checkpoints/${ref.batch}.${ref.clip}/${ref.attempt}-${step}.safetensors`;
    const artifact = { key, sha256: "cd", sizeBytes: 1 };
    const checkpoint = { step, artifact, totals: noTotals };
    return this.do({ type: "checkpoint", worker, ref, checkpoint });
  }

  fail(worker: string, ref: AttemptRef, code = "ENGINE_CRASH"): Decision {
    const failure = { code, message: "it broke" };
    return this.do({ type: "failed", worker, ref, failure, childDead: true });
  }

  leasesOf(worker: string): readonly Lease[] {
    return [...this.state.leases.values()].filter((lease) => lease.worker === worker);
  }

  /** The one lease of the worker. */
  lease(worker: string): Lease {
    const [lease] = this.leasesOf(worker);
    if (!lease) throw new Error(`${worker} holds no lease`);
    return lease;
  }

  /** As a new leader after a crash: only the events are left, or a snapshot of them. */
  restart(from: "events" | "snapshot" = "events"): void {
    const state = replayed(this.turns);
    const opened = from === "events" ? state : decodeState(encodeState(state));
    this.farm = openFarm(opened, this.#rules, this.now);
  }
}

/** The state that the events alone give. */
export function replayed(turns: readonly (readonly FarmEvent[])[]): State {
  const state = emptyState();
  for (const [index, events] of turns.entries()) {
    for (const event of events) apply(state, event, index + 1);
  }
  return state;
}
