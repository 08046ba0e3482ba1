// How fast the pure core decides, on one thread and with no log behind it: a full farm of 10,000
// devices, a million clips of many tenants in its queue, agents that report, finish and ask. Every
// call of `handle` counts as a decision. Then what a queued and a published clip weigh in memory,
// and how fast events are folded.
import { apply } from "../coordinator/core/apply.js";
import type { Command } from "../coordinator/core/commands.js";
import type { FarmEvent, RenderTotals } from "../coordinator/core/events.js";
import { type Farm, handle, openFarm } from "../coordinator/core/farm.js";
import { defaultRules } from "../coordinator/core/rules.js";
import { decodeState, encodeState } from "../coordinator/core/snapshot.js";
import { emptyState, type State } from "../coordinator/core/state.js";

const workers = 1_250;
const devicesPerWorker = 8;
const tenants = 50;
const clipsPerBatch = 10_000;
const batches = 100;
const rounds = Number(process.argv[2] ?? 20);

const totals: RenderTotals = {
  tokensComputed: 1_234_567,
  tokensReused: 7_654_321,
  flops: 1.25e15,
  flopsNone: 3.5e15,
  textEncodeSeconds: 0.31,
  denoiseSeconds: 9.87,
  decodeSeconds: 1.23,
  encodeSeconds: 0.45,
  uploadSeconds: 0.12,
};

/** A farm with its own time and log. */
class Bench {
  readonly farm: Farm;
  now = 1_000_000;
  sequence = 0;
  commands = 0;
  eventsMade = 0;
  readonly events: FarmEvent[] = [];
  readonly #keep: boolean;

  constructor(keep: boolean) {
    this.#keep = keep;
    this.farm = openFarm(emptyState(), defaultRules, this.now);
  }

  do(command: Command): void {
    this.commands += 1;
    this.sequence += 1;
    const { events } = handle(this.farm, command, this.now, this.sequence);
    this.eventsMade += events.length;
    if (this.#keep) this.events.push(...events);
  }
}

function submit(bench: Bench, number: number): void {
  const steps = 30;
  const plan = {
    flops: 1e15,
    flopsNone: 3e15,
    cacheBytes: 1,
    peakBytes: 1,
    digest: "d",
    warnings: [],
    refreshPoints: [0, 6, 12, 18, 24],
  };
  bench.do({
    type: "submit",
    submission: {
      batch: `b${String(number).padStart(12, "0")}`,
      name: "bench",
      tenant: `tenant${number % tenants}`,
      priority: number % 5,
      spec: {
        ...{ model: "demo", frames: 51, height: 240, width: 426, fps: 24, saveFps: 24, steps },
        ...{ guidance: 7, seed: "42", policy: { name: "toca", options: {} }, scores: null },
        ...{
          dtype: "",
          device: "",
          initialLatentKey: "",
          saveLatent: false,
          saveFrames: false,
          sampler: "",
          trace: "none",
        },
      },
      weightsDigest: "w",
      clips: clipsPerBatch,
      segments: 1,
      promptsKey: "blobs/00",
      promptsSha256: "00",
      plan,
      preview: null,
      deadlineAt: null,
      idempotencyKey: "",
      bodySha256: "",
    },
  });
}

function join(bench: Bench, worker: string): void {
  const devices = Array.from({ length: devicesPerWorker }, (_, index) => ({
    ...{ name: `cuda:${index}`, kind: `cuda-gpu${Number(worker.slice(1)) % 3}-bf16` },
    ...({ memoryBytes: 80e9, dtype: "bf16", condition: "ready", loadedModel: "demo" } as const),
  }));
  const configs = {
    transformerConfig: "{}",
    vaeConfig: "{}",
    textEncoderConfig: "{}",
    modelIndex: "",
  };
  const models = [{ name: "demo", weightsDigest: "w", ...configs }];
  const hello = { id: worker, version: "0", devices, models, held: [], draining: false };
  bench.do({ type: "hello", hello });
  report(bench, worker, 0, true);
}

/** Progress of what the worker holds; all of its devices want a lease, or none does. */
function report(bench: Bench, worker: string, step: number, wants: boolean): void {
  const held = [...(bench.farm.state.leasesByWorker.get(worker) ?? [])];
  const attempts = held.map(({ batch, clip, attempt }) => ({
    ...{ batch, clip, attempt, step, steps: 30, stage: "denoise", totals: null },
  }));
  const devices = bench.farm.live.workers.get(worker)?.devices.keys() ?? [];
  const idleDevices = wants ? [...devices] : [];
  bench.do({ type: "progress", worker, attempts, idleDevices, draining: false });
}

function complete(bench: Bench, worker: string): void {
  for (const lease of [...(bench.farm.state.leasesByWorker.get(worker) ?? [])]) {
    const { batch, clip, attempt } = lease;
    const artifacts = ["clip.mp4", "manifest.json", "profile.json"].map((name) => ({
      key: `clips/${batch}.${String(clip).padStart(6, "0")}/${attempt}/${name}`,
      sha256: String(clip).padStart(64, "0123456789abcdef"),
      sizeBytes: 1_234_567,
    }));
    const ref = { batch, clip, attempt };
    bench.do({ type: "completed", worker, ref, artifacts, totals });
  }
}

function run(bench: Bench, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    for (let number = 0; number < workers; number++) {
      const worker = `w${number}`;
      bench.now += 4;
      report(bench, worker, 1 + round, false);
      complete(bench, worker);
      report(bench, worker, 0, true);
      for (let device = 0; device < devicesPerWorker; device++) bench.do({ type: "place" });
      if (number % 25 === 0) bench.do({ type: "expire" });
    }
  }
}

/** What is alive; needs --expose-gc. */
function heapBytes(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

/** Of the processor, since other programs may run beside this one. */
function seconds(work: () => void): number {
  const begin = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1e6;
}

/** A farm whose devices all render. */
function busyFarm(keep: boolean): Bench {
  const bench = new Bench(keep);
  for (let number = 0; number < batches; number++) submit(bench, number);
  for (let number = 0; number < workers; number++) join(bench, `w${number}`);
  while (bench.farm.state.leases.size < workers * devicesPerWorker) bench.do({ type: "place" });
  return bench;
}

function measureDecisions(): Record<string, number> {
  const bench = busyFarm(false);
  const [commandsBefore, eventsBefore] = [bench.commands, bench.eventsMade];
  const spent = seconds(() => run(bench, rounds));
  const [commands, events] = [bench.commands - commandsBefore, bench.eventsMade - eventsBefore];
  return {
    decisions: commands,
    decisionsPerSecond: Math.round(commands / spent),
    eventsPerSecond: Math.round(events / spent),
  };
}

function measureQueued(): number {
  const bench = new Bench(false);
  const before = heapBytes();
  for (let number = 0; number < batches; number++) submit(bench, number);
  return ((heapBytes() - before) / bench.farm.state.clipsQueued) * 100_000;
}

function measureReplay(): Record<string, number> {
  const bench = busyFarm(true);
  run(bench, 10);
  const { events } = bench;
  let state = emptyState();
  const replaySeconds = seconds(() => {
    state = emptyState();
    for (const [index, event] of events.entries()) apply(state, event, index + 1);
  });
  let text = "";
  const encodeSeconds = seconds(() => {
    text = encodeState(state);
  });
  const published = [...state.batches.values()].reduce((sum, of) => sum + of.clipsPublished, 0);
  const copies: State[] = [];
  const before = heapBytes();
  const decodeSeconds = seconds(() => copies.push(decodeState(text)));
  return {
    replayEventsPerSecond: Math.round(events.length / replaySeconds),
    publishedClips: published,
    bytesPer100000Published: Math.round(((heapBytes() - before) / published) * 100_000),
    snapshotBytes: text.length,
    ...{ encodeSeconds, decodeSeconds, copies: copies.length },
  };
}

const results = {
  ...{ devices: workers * devicesPerWorker, clips: batches * clipsPerBatch, tenants },
  bytesPer100000Queued: Math.round(measureQueued()),
  ...measureDecisions(),
  ...measureReplay(),
};
console.log(JSON.stringify(results, null, 2));
