// What the leader remembers of agents, devices and running attempts. None of it is in the log: a
// new leader starts empty, gives every lease its full time anew, and learns the rest from the
// agents' Hellos. Changed here alone, by what an agent says and by what was logged. The queue and
// the groups of devices are indexes over it and the state, kept up to date along the way.

import type { Effect } from "./commands.js";
import type { DeviceMemory, ModelInfo, WorkerMemory } from "./devices.js";
import { arrange, type DeviceGroups, type DeviceInfo, remove } from "./devices.js";
import type {
  AttemptRef,
  DeviceQuarantined,
  DeviceReleased,
  FarmEvent,
  LeaseGranted,
  RenderTotals,
} from "./events.js";
import type { Rules } from "./rules.js";
import { clipKey, deviceKey, heldLease, isQuarantined, type Lease, type State } from "./state.js";
import { Timers } from "./timers.js";
import { WorkQueue } from "./work-queue.js";

export type {
  DeviceCondition,
  DeviceInfo,
  DeviceMemory,
  ModelInfo,
  WorkerMemory,
} from "./devices.js";

export type CutReason = "preempted" | "paused" | "drained";

/** How far a live attempt is. */
export interface LeaseMemory {
  readonly lease: Lease;
  renewedAt: number;
  /** "" = not begun. */
  stage: string;
  /** Steps done. */
  step: number;
  steps: number;
  totals: RenderTotals | null;
  /** When stage or step last changed. */
  movedAt: number;
  /** It was asked to store a checkpoint and hand back. */
  cut: CutReason | null;
  /** Where it stands among the leases that have not begun behind another one; null = not there. */
  ahead: Set<LeaseMemory> | null;
}

/** A quarantined device's way back. */
export interface CanaryMemory {
  readonly worker: string;
  readonly device: string;
  /** Of the one in flight, "" = none. */
  id: string;
  weightsDigest: string;
  sentAt: number;
  /** Those that failed. */
  failures: number;
  /** Infinity = it has failed too often. */
  nextAt: number;
}

export interface Liveness {
  /** When this leader's memory began. */
  readonly since: number;
  readonly workers: Map<string, WorkerMemory>;
  /** By clipKey, one for each live lease; the one renewed longest ago in front. */
  readonly leases: Map<string, LeaseMemory>;
  /** Leases behind another one on the same device that have not begun, by class of work. */
  readonly ahead: Map<string, Set<LeaseMemory>>;
  /** Leases that were cut and have not ended, by clipKey, with the class of work that waits. */
  readonly cuts: Map<string, string>;
  /** By deviceKey. */
  readonly canaries: Map<string, CanaryMemory>;
  /** Batches in which an attempt failed: only of these somebody may be left without a device. */
  readonly troubled: Set<string>;
  readonly groups: DeviceGroups;
  readonly queue: WorkQueue;
  /** When to see whether a lease stands still, by clipKey and attempt. */
  readonly stuckTimers: Timers<AttemptRef>;
  /** When cuts were last considered. */
  preemptedAt: number;
}

export interface WorkerHello {
  readonly id: string;
  readonly version: string;
  readonly devices: readonly DeviceInfo[];
  readonly models: readonly ModelInfo[];
  /** Attempts that it holds, or ended and reports again right after. */
  readonly held: readonly AttemptRef[];
  /** It is about to stop: it takes no lease. */
  readonly draining: boolean;
}

export interface AttemptReport extends AttemptRef {
  readonly stage: string;
  readonly step: number;
  readonly steps: number;
  readonly totals: RenderTotals | null;
}

/** Agents that have gone are forgotten, the oldest first, beyond this many. */
export const workersMax = 10_000;

/** The state, the leader's memory of what is behind it, and the operator's rules. */
export interface Known {
  readonly state: State;
  readonly live: Liveness;
  readonly rules: Rules;
}

/** A new leader's memory: every lease of the log has its full time from now on. */
export function newLiveness(state: State, rules: Rules, now: number): Liveness {
  const live: Liveness = {
    since: now,
    workers: new Map(),
    leases: new Map(),
    ahead: new Map(),
    cuts: new Map(),
    canaries: new Map(),
    troubled: new Set(),
    groups: new Map(),
    queue: new WorkQueue(state, rules, now),
    stuckTimers: new Timers(),
    preemptedAt: now,
  };
  for (const [key, lease] of state.leases) {
    const memory = newLease(lease, now);
    live.leases.set(key, memory);
    if (lease.since === null && !lease.started) joinAhead(live, memory);
    live.stuckTimers.set(now + rules.stuck.floorMs, refOf(lease));
  }
  for (const [key, { quarantine }] of state.troubles) {
    if (!quarantine) continue;
    const end = key.lastIndexOf("/");
    const place = { worker: key.slice(0, end), device: key.slice(end + 1) };
    live.canaries.set(key, newCanary(place, now + rules.quarantine.backoffMs));
  }
  for (const { id, failuresByWorker } of state.unfinished.values()) {
    if (failuresByWorker.size > 0) live.troubled.add(id);
  }
  return live;
}

/** An agent's new connection: it replaces whatever was known of it, and renews what it holds. */
export function rememberHello(known: Known, hello: WorkerHello, now: number): void {
  const { live, state } = known;
  const { id, version, draining } = hello;
  const earlier = live.workers.get(id);
  for (const device of earlier?.devices.values() ?? []) remove(live.groups, device);
  live.workers.delete(id); // so that the map stays in the order of connection
  const worker: WorkerMemory = {
    ...{ id, version, connected: true, connectedAt: now, draining, drained: state.drained.has(id) },
    devices: new Map(),
    models: new Map(hello.models.map((model) => [model.name, model])),
  };
  live.workers.set(id, worker);
  for (const info of hello.devices) addDevice(known, worker, info);
  for (const ref of hello.held) {
    const lease = heldLease(state, ref);
    if (lease?.worker !== id) continue;
    worker.devices.get(lease.device)?.slots.set(slotName(ref), refOf(ref));
    renew(live, lease, now);
  }
  for (const device of worker.devices.values()) rearrange(known, device);
  forgetOldest(live);
}

function addDevice({ state, live }: Known, worker: WorkerMemory, info: DeviceInfo): DeviceMemory {
  const key = deviceKey(worker.id, info.name);
  const quarantined = isQuarantined(state, worker.id, info.name);
  const device: DeviceMemory = {
    worker,
    info,
    wants: false,
    slots: new Map(),
    quarantined,
    hopeless: quarantined && live.canaries.get(key)?.nextAt === Infinity,
    warmModel: info.loadedModel,
    warmShape: "",
    group: null,
    free: null,
  };
  worker.devices.set(info.name, device);
  return device;
}

/** The connection has ended; leases live on until their time is over. */
export function rememberGone({ live }: Known, worker: string): void {
  const memory = live.workers.get(worker);
  if (!memory) return;
  memory.connected = false;
  for (const device of memory.devices.values()) {
    device.wants = false;
    device.slots.clear();
    remove(live.groups, device);
  }
}

/** Renews what the agent names, and notes which devices want a lease. */
export function rememberProgress(
  known: Known,
  report: {
    readonly worker: string;
    readonly attempts: readonly AttemptReport[];
    readonly idleDevices: readonly string[];
    readonly draining: boolean;
  },
  now: number,
): void {
  const { live, state } = known;
  for (const attempt of report.attempts) {
    const lease = heldLease(state, attempt);
    if (lease?.worker === report.worker) noteProgress(live, lease, attempt, now);
  }
  const worker = live.workers.get(report.worker);
  if (!worker) return;
  worker.draining = report.draining;
  for (const device of worker.devices.values()) {
    device.wants = report.idleDevices.includes(device.info.name);
    if (device.wants) freeEnded(known, device, report.attempts);
    rearrange(known, device);
  }
}

function noteProgress(live: Liveness, lease: Lease, report: AttemptReport, now: number): void {
  const memory = renew(live, lease, now);
  const { stage, step, steps, totals } = report;
  if (stage !== memory.stage || step !== memory.step) memory.movedAt = now;
  if (memory.stage === "" && stage !== "") leaveAhead(memory);
  memory.stage = stage;
  memory.step = step;
  memory.steps = steps;
  memory.totals = totals;
}

/** Attempts that we have ended, and that the agent does not name: it has ended them too. */
function freeEnded(
  { state }: Known,
  device: DeviceMemory,
  attempts: readonly AttemptReport[],
): void {
  for (const [name, ref] of device.slots) {
    if (heldLease(state, ref)) continue;
    if (!attempts.some((attempt) => slotName(attempt) === name)) device.slots.delete(name);
  }
}

export function rememberDevice(known: Known, id: string, info: DeviceInfo): void {
  const worker = known.live.workers.get(id);
  if (!worker) return;
  const device = worker.devices.get(info.name) ?? addDevice(known, worker, info);
  remove(known.live.groups, device);
  device.info = info;
  device.warmModel = info.loadedModel;
  rearrange(known, device);
}

/** The agent says that the attempt no longer occupies its device. */
export function rememberSlotFree(known: Known, worker: string, ref: AttemptRef): void {
  for (const device of known.live.workers.get(worker)?.devices.values() ?? []) {
    if (device.slots.delete(slotName(ref))) rearrange(known, device);
  }
}

/** Keys of the leases that an event will end. */
export function endedBy(state: State, event: FarmEvent): readonly string[] {
  switch (event.type) {
    case "AttemptLost":
    case "AttemptFailed":
    case "SegmentCompleted":
    case "PreviewPublished":
    case "ClipPublished":
      return [clipKey(event.batch, event.clip)];
    case "BatchCancelled":
    case "ClipsSkipped": {
      const leased = state.batches.get(event.batch)?.leased ?? [];
      return [...leased].map((clip) => clipKey(event.batch, clip));
    }
    default:
      return [];
  }
}

/** What an event that was just applied means for the memory; `ended` as of before. */
export function rememberEvent(
  known: Known,
  event: FarmEvent,
  ended: readonly string[],
  now: number,
): void {
  const { live, state } = known;
  for (const key of ended) if (!state.leases.has(key)) forgetLease(known, key);
  switch (event.type) {
    case "LeaseGranted":
      rememberLease(known, event, now);
      break;
    case "AttemptFailed":
      live.troubled.add(event.batch);
      break;
    case "DeviceQuarantined":
    case "DeviceReleased":
      rememberQuarantine(known, event);
      break;
    case "WorkerDrained":
    case "WorkerUndrained":
      rememberDrain(known, event.worker);
      break;
    default:
  }
  live.queue.sync(event, now);
}

function rememberLease(known: Known, event: LeaseGranted, now: number): void {
  const { live, state, rules } = known;
  const lease = heldLease(state, event);
  if (!lease) return;
  const memory = newLease(lease, now);
  live.leases.set(clipKey(event.batch, event.clip), memory);
  live.stuckTimers.set(now + rules.stuck.floorMs, refOf(event));
  const device = live.workers.get(event.worker)?.devices.get(event.device);
  const work = live.queue.work(event.batch);
  if (!device || !work) return;
  if (device.slots.size > 0) joinAhead(live, memory);
  const { model, frames, height, width } = work.batch.spec;
  device.free?.delete(device);
  device.wants = false;
  device.slots.set(slotName(event), refOf(event));
  device.warmModel = model;
  device.warmShape = shapeKey({ model, frames, height, width });
}

function forgetLease(known: Known, key: string): void {
  const { live } = known;
  const memory = live.leases.get(key);
  if (!memory) return;
  live.leases.delete(key);
  live.cuts.delete(key);
  leaveAhead(memory);
  const { worker, device } = memory.lease;
  const place = live.workers.get(worker)?.devices.get(device);
  if (place) rearrange(known, place);
}

function joinAhead(live: Liveness, memory: LeaseMemory): void {
  const key = live.queue.work(memory.lease.batch)?.workClass.key;
  if (key === undefined) return;
  memory.ahead = live.ahead.get(key) ?? new Set();
  live.ahead.set(key, memory.ahead.add(memory));
}

function leaveAhead(memory: LeaseMemory): void {
  memory.ahead?.delete(memory);
  memory.ahead = null;
}

function rememberQuarantine(known: Known, event: DeviceQuarantined | DeviceReleased): void {
  const { live, rules } = known;
  const quarantined = event.type === "DeviceQuarantined";
  const key = deviceKey(event.worker, event.device);
  if (!quarantined) live.canaries.delete(key);
  else if (!live.canaries.has(key)) {
    live.canaries.set(key, newCanary(event, event.at + rules.quarantine.backoffMs));
  }
  const device = live.workers.get(event.worker)?.devices.get(event.device);
  if (!device) return;
  device.quarantined = quarantined;
  if (!quarantined) device.hopeless = false;
  rearrange(known, device);
}

function newCanary(
  { worker, device }: { readonly worker: string; readonly device: string },
  nextAt: number,
): CanaryMemory {
  return { worker, device, id: "", weightsDigest: "", sentAt: 0, failures: 0, nextAt };
}

/** The canary in flight has failed: the next one comes after a longer wait, or none does. */
export function rememberCanaryFailure(known: Known, key: string, now: number): void {
  const { live, rules } = known;
  const canary = live.canaries.get(key);
  if (!canary) return;
  const { backoffMs, backoffMsMax, canariesMax } = rules.quarantine;
  canary.id = "";
  canary.failures += 1;
  const waitMs = Math.min(backoffMsMax, backoffMs * 2 ** Math.min(canary.failures, 20));
  canary.nextAt = canary.failures < canariesMax ? now + waitMs : Infinity;
  const device = live.workers.get(canary.worker)?.devices.get(canary.device);
  if (!device) return;
  device.hopeless = canary.nextAt === Infinity;
  rearrange(known, device);
}

function rememberDrain(known: Known, id: string): void {
  const worker = known.live.workers.get(id);
  if (!worker) return;
  worker.drained = known.state.drained.has(id);
  for (const device of worker.devices.values()) rearrange(known, device);
}

/** What was asked of an agent, so that it is asked once and its answer is known for what it is. */
export function rememberEffect({ live }: Known, effect: Effect, now: number): void {
  if (effect.type === "cut_attempt") {
    const memory = live.leases.get(clipKey(effect.ref.batch, effect.ref.clip));
    if (memory) memory.cut = effect.reason;
  }
  if (effect.type === "try_device") {
    const canary = live.canaries.get(deviceKey(effect.worker, effect.device));
    if (!canary) return;
    const models = live.workers.get(effect.worker)?.models;
    canary.id = effect.id;
    canary.sentAt = now;
    canary.weightsDigest = models?.get(effect.model)?.weightsDigest ?? "";
  }
}

/** Puts the device where it belongs in the index of those that wait for a lease. */
export function rearrange({ live }: Known, device: DeviceMemory): void {
  arrange(live.groups, device, freedomOf(live, device));
}

/** Whether a lease may be given to the device now: as its only one, or one ahead, never two. */
function freedomOf(live: Liveness, device: DeviceMemory): "idle" | "ahead" | null {
  if (!device.wants || device.quarantined || device.info.condition !== "ready") return null;
  if (device.slots.size === 0) return "idle";
  if (device.slots.size > 1) return null;
  for (const ref of device.slots.values()) {
    const memory = live.leases.get(clipKey(ref.batch, ref.clip));
    if (memory?.lease.attempt === ref.attempt && hasBegun(memory)) return "ahead";
  }
  return null;
}

export function hasBegun({ lease, stage }: LeaseMemory): boolean {
  return lease.started || stage !== "";
}

/** The state of a device as users see it. */
export function conditionOf(
  device: DeviceMemory,
): "starting" | "idle" | "busy" | "failed" | "quarantined" {
  if (device.info.condition !== "ready") return device.info.condition;
  if (device.quarantined) return "quarantined";
  return device.slots.size > 0 ? "busy" : "idle";
}

/** It gets no lease: by its agent's word, or an operator's. */
export function isDraining(worker: WorkerMemory): boolean {
  return worker.draining || worker.drained;
}

export function shapeKey(spec: {
  readonly model: string;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
}): string {
  return `${spec.model}\n${spec.frames}x${spec.height}x${spec.width}`;
}

export function refOf({ batch, clip, attempt }: AttemptRef): AttemptRef {
  return { batch, clip, attempt };
}

function newLease(lease: Lease, now: number): LeaseMemory {
  const progress = { stage: "", step: 0, steps: 0, totals: null };
  return { lease, renewedAt: now, ...progress, movedAt: now, cut: null, ahead: null };
}

function renew(live: Liveness, lease: Lease, now: number): LeaseMemory {
  const key = clipKey(lease.batch, lease.clip);
  const memory = live.leases.get(key) ?? newLease(lease, now);
  memory.renewedAt = now;
  live.leases.delete(key); // so that the map stays in the order of renewal
  live.leases.set(key, memory);
  return memory;
}

function slotName(ref: AttemptRef): string {
  return `${clipKey(ref.batch, ref.clip)}/${ref.attempt}`;
}

function forgetOldest(live: Liveness): void {
  if (live.workers.size <= workersMax) return;
  for (const [id, { connected }] of live.workers) {
    if (connected) continue;
    live.workers.delete(id);
    return;
  }
}
