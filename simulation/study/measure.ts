// Looks on while a world runs and gathers what a user wants to know of it: who had the devices, how
// long clips waited, when batches were done, what faults cost.

import type { FarmEvent } from "../../coordinator/core/events.js";
import type {
  LeaseEnd,
  LedgerBatch,
  LedgerListener,
  LiveLease,
  OpenClip,
} from "../checkers/records.js";
import type { World } from "../world.js";
import { Histogram } from "./histogram.js";
import { type Sample, Series } from "./series.js";

type LeaseGranted = Extract<FarmEvent, { readonly type: "LeaseGranted" }>;

export interface BatchTimes {
  readonly batch: LedgerBatch;
  readonly submittedMs: number;
  endedMs: number | null;
}

export interface TenantUse {
  deviceSeconds: number;
  /** While every tenant had something that waited. */
  contestedSeconds: number;
  /** Of clips until their first device, by tier. */
  readonly waits: Map<number, Histogram>;
  /** Since the last sample. */
  waitSeconds: number;
  waited: number;
}

export class Measure implements LedgerListener {
  readonly tenants = new Map<string, TenantUse>();
  readonly batches = new Map<string, BatchTimes>();
  readonly series = new Series();
  readonly attempts = { done: 0, lost: 0, failed: 0, withdrawn: 0 };
  readonly failures = new Map<string, number>();
  /** Device-seconds of attempts that ended undone: what a checkpoint kept of them, and the rest. */
  keptSeconds = 0;
  lostSeconds = 0;
  /** Attempts that went on from a checkpoint. */
  resumed = 0;
  leaders = 0;
  /** Devices' time with their agents up, in seconds, until the last batch ended. */
  deviceSecondsUp = 0;
  /** When the last batch ended. */
  endedMs = 0;
  readonly #world: World;
  #countedMs = 0;
  #sampledMs = 0;
  #upSeconds = 0;

  constructor(world: World) {
    this.#world = world;
    world.ledger.listeners.push(this);
    this.#sample();
  }

  onGrant(event: LeaseGranted, batch: LedgerBatch, clip: OpenClip | undefined): void {
    if (event.resumeStep > 0) this.resumed += 1;
    if (clip !== undefined || event.attempt > 1) return;
    const seconds = (event.at - batch.accepted.at) / 1000;
    const tenant = this.#tenant(batch.accepted.tenant);
    const waits = tenant.waits.get(batch.priority) ?? new Histogram();
    waits.add(seconds);
    tenant.waits.set(batch.priority, waits);
    tenant.waitSeconds += seconds;
    tenant.waited += 1;
  }

  onRelease(lease: LiveLease, seconds: number, end: LeaseEnd): void {
    const { event, batch } = lease;
    this.attempts[end] += 1;
    this.#tenant(batch.accepted.tenant).deviceSeconds += seconds;
    if (end === "done") return;
    const kept = end === "withdrawn" ? 0 : Math.min(seconds, keptBy(lease));
    this.keptSeconds += kept;
    this.lostSeconds += seconds - kept;
    if (event.resumeStep > 0 && seconds === 0) this.resumed -= 1; // it never began
  }

  onEvent(event: FarmEvent): void {
    const { nowMs } = this.#world.timeline;
    if (event.type === "LeaderStarted") this.leaders += 1;
    if (event.type === "AttemptFailed") {
      const { code } = event.failure;
      this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
    }
    if (event.type === "AttemptLost") {
      this.failures.set(event.reason, (this.failures.get(event.reason) ?? 0) + 1);
    }
    if (event.type === "BatchAccepted") {
      const batch = this.#world.ledger.batches.get(event.batch);
      if (batch) this.batches.set(event.batch, { batch, submittedMs: nowMs, endedMs: null });
      this.#tenant(event.tenant);
    }
    if (!("batch" in event)) return;
    const times = this.batches.get(event.batch);
    if (!times?.batch.over || times.endedMs !== null) return;
    times.endedMs = nowMs;
    this.endedMs = nowMs;
    this.#countUp();
    this.deviceSecondsUp = this.#upSeconds;
  }

  #tenant(name: string): TenantUse {
    const known = this.tenants.get(name);
    if (known) return known;
    const fresh = {
      deviceSeconds: 0,
      contestedSeconds: 0,
      waits: new Map(),
      waitSeconds: 0,
      waited: 0,
    };
    this.tenants.set(name, fresh);
    return fresh;
  }

  #countContested({ atMs, busy, backlog }: Sample): void {
    const seconds = (atMs - this.#sampledMs) / 1000;
    this.#sampledMs = atMs;
    if (!backlog.every((clips) => clips > 0)) return;
    for (const [index, tenant] of [...this.tenants.values()].entries()) {
      tenant.contestedSeconds += seconds * (busy[index] ?? 0);
    }
  }

  /** Adds the time since the last count; the answer is how many devices are up now. */
  #countUp(): number {
    const { timeline, agents } = this.#world;
    let devices = 0;
    for (const { process, spec } of agents) if (process.alive) devices += spec.devices.length;
    this.#upSeconds += (devices * (timeline.nowMs - this.#countedMs)) / 1000;
    this.#countedMs = timeline.nowMs;
    return devices;
  }

  #sample(): void {
    const { timeline, ledger } = this.#world;
    const devices = this.#countUp();
    const names = [...this.tenants.keys()];
    const busy = new Map<string, number>();
    for (const [lease] of ledger.devices.values()) {
      const tenant = lease?.batch.accepted.tenant ?? "";
      busy.set(tenant, (busy.get(tenant) ?? 0) + 1);
    }
    const backlog = new Map<string, number>();
    for (const { accepted, fresh, waiting } of ledger.unfinished.values()) {
      const clips = (backlog.get(accepted.tenant) ?? 0) + fresh + waiting.size;
      backlog.set(accepted.tenant, clips);
    }
    const sample: Sample = {
      atMs: timeline.nowMs,
      devices,
      busy: names.map((name) => busy.get(name) ?? 0),
      backlog: names.map((name) => backlog.get(name) ?? 0),
      waits: [...this.tenants.values()].map(meanWait),
    };
    this.#countContested(sample);
    this.series.add(sample);
    timeline.after(this.series.everyMs, () => this.#sample());
  }
}

/** Takes the mean of the waits since the last sample. */
function meanWait(tenant: TenantUse): number | null {
  const mean = tenant.waited > 0 ? tenant.waitSeconds / tenant.waited : null;
  tenant.waitSeconds = 0;
  tenant.waited = 0;
  return mean;
}

/** Device-seconds of the attempt that its checkpoint keeps for a later one. */
function keptBy({ event, batch }: LiveLease): number {
  const { accepted } = batch;
  const steps = (event.preview ? accepted.preview : null)?.steps ?? accepted.spec.steps;
  const stored = batch.open.get(event.clip)?.checkpoint;
  if (!stored || stored.kind !== event.kind || stored.step <= event.resumeStep) return 0;
  return (event.deviceSeconds * (stored.step - event.resumeStep)) / (steps - event.resumeStep);
}
