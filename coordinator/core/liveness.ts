// What the leader remembers of agents, devices and running attempts. None of it is in the log: a
// new leader starts empty, gives every lease its full time anew, and learns the rest from the
// agents' Hellos. Changed here alone, by what an agent says and by what was logged.

import type { AttemptRef, FarmEvent, RenderTotals } from "./events.js";
import { clipKey, heldLease, type State } from "./state.js";

export type DeviceCondition = "starting" | "ready" | "failed";

export interface DeviceInfo {
  readonly name: string;
  readonly kind: string;
  readonly memoryBytes: number;
  readonly dtype: string;
  readonly condition: DeviceCondition;
}

export interface DeviceMemory {
  info: DeviceInfo;
  /** It asked for a lease and has got none since. */
  wants: boolean;
  /** Attempts given to it that its agent has not yet ended, by name. */
  readonly slots: Set<string>;
}

/** A model folder as an agent announces it; the texts are config.json files. */
export interface ModelInfo {
  readonly name: string;
  readonly weightsDigest: string;
  readonly transformerConfig: string;
  readonly vaeConfig: string;
  readonly textEncoderConfig: string;
}

export interface WorkerMemory {
  readonly id: string;
  readonly version: string;
  connected: boolean;
  readonly connectedAt: number;
  readonly devices: Map<string, DeviceMemory>;
  readonly models: ReadonlyMap<string, ModelInfo>;
}

/** How far a live attempt is. */
export interface LeaseMemory {
  renewedAt: number;
  stage: string;
  /** Steps done. */
  step: number;
  steps: number;
  totals: RenderTotals | null;
}

export interface Liveness {
  /** When this leader's memory began. */
  readonly since: number;
  readonly workers: Map<string, WorkerMemory>;
  /** By clipKey; one for each live lease. */
  readonly leases: Map<string, LeaseMemory>;
}

export interface WorkerHello {
  readonly id: string;
  readonly version: string;
  readonly devices: readonly DeviceInfo[];
  readonly models: readonly ModelInfo[];
  /** Attempts that it holds, or ended and reports again right after. */
  readonly held: readonly AttemptRef[];
}

export interface AttemptReport extends AttemptRef {
  readonly stage: string;
  readonly step: number;
  readonly steps: number;
  readonly totals: RenderTotals | null;
}

/** Agents that have gone are forgotten, the oldest first, beyond this many. */
export const workersMax = 10_000;

/** A new leader's memory: every lease of the log has its full time from now on. */
export function newLiveness(state: State, now: number): Liveness {
  const leases = new Map<string, LeaseMemory>();
  for (const key of state.leases.keys()) leases.set(key, newLease(now));
  return { since: now, workers: new Map(), leases };
}

/** An agent's new connection: it replaces whatever was known of it, and renews what it holds. */
export function rememberHello(live: Liveness, state: State, hello: WorkerHello, now: number): void {
  const devices = new Map<string, DeviceMemory>();
  for (const info of hello.devices) {
    devices.set(info.name, { info, wants: false, slots: new Set() });
  }
  for (const ref of hello.held) {
    const lease = heldLease(state, ref);
    if (lease?.worker !== hello.id) continue;
    devices.get(lease.device)?.slots.add(slotName(ref));
    renew(live, ref, now);
  }
  const models = new Map(hello.models.map((model) => [model.name, model]));
  live.workers.delete(hello.id); // so that the map stays in the order of connection
  const { id, version } = hello;
  live.workers.set(id, { id, version, connected: true, connectedAt: now, devices, models });
  forgetOldest(live);
}

/** The connection has ended; leases live on until their time is over. */
export function rememberGone(live: Liveness, worker: string): void {
  const memory = live.workers.get(worker);
  if (!memory) return;
  memory.connected = false;
  for (const device of memory.devices.values()) {
    device.wants = false;
    device.slots.clear();
  }
}

/** Renews what the agent names, and notes which devices want a lease. */
export function rememberProgress(
  live: Liveness,
  state: State,
  worker: string,
  attempts: readonly AttemptReport[],
  idleDevices: readonly string[],
  now: number,
): void {
  for (const report of attempts) {
    if (heldLease(state, report)?.worker !== worker) continue;
    const { stage, step, steps, totals } = report;
    Object.assign(renew(live, report, now), { stage, step, steps, totals });
  }
  const memory = live.workers.get(worker);
  for (const [name, device] of memory?.devices ?? []) {
    device.wants = idleDevices.includes(name);
    if (!device.wants) continue;
    for (const slot of device.slots) {
      if (!isLive(state, slot)) device.slots.delete(slot); // ended by us, and now by its agent too
    }
  }
}

export function rememberDevice(live: Liveness, worker: string, info: DeviceInfo): void {
  const memory = live.workers.get(worker);
  const known = memory?.devices.get(info.name);
  if (known) known.info = info;
  else memory?.devices.set(info.name, { info, wants: false, slots: new Set() });
}

/** The agent says that the attempt no longer occupies its device. */
export function rememberSlotFree(live: Liveness, worker: string, ref: AttemptRef): void {
  for (const device of live.workers.get(worker)?.devices.values() ?? []) {
    device.slots.delete(slotName(ref));
  }
}

/** What an event that was just applied means for the memory. */
export function rememberEvent(live: Liveness, state: State, event: FarmEvent, now: number): void {
  switch (event.type) {
    case "LeaseGranted": {
      live.leases.set(clipKey(event.batch, event.clip), newLease(now));
      const device = live.workers.get(event.worker)?.devices.get(event.device);
      if (!device) return;
      device.wants = false;
      device.slots.add(slotName(event));
      return;
    }
    case "AttemptLost":
    case "AttemptFailed":
    case "ClipPublished":
      live.leases.delete(clipKey(event.batch, event.clip));
      return;
    case "BatchCancelled":
      for (const key of live.leases.keys()) {
        if (!state.leases.has(key)) live.leases.delete(key);
      }
      return;
    default:
  }
}

/** Whether a lease may be given to the device now. */
export function isFree(device: DeviceMemory): boolean {
  return device.wants && device.slots.size === 0 && device.info.condition === "ready";
}

/** The state of a device as users see it. */
export function conditionOf(device: DeviceMemory): "starting" | "idle" | "busy" | "failed" {
  if (device.info.condition !== "ready") return device.info.condition;
  return device.slots.size > 0 ? "busy" : "idle";
}

function newLease(now: number): LeaseMemory {
  return { renewedAt: now, stage: "", step: 0, steps: 0, totals: null };
}

function renew(live: Liveness, ref: AttemptRef, now: number): LeaseMemory {
  const key = clipKey(ref.batch, ref.clip);
  const lease = live.leases.get(key) ?? newLease(now);
  lease.renewedAt = now;
  live.leases.set(key, lease);
  return lease;
}

function slotName(ref: AttemptRef): string {
  return `${clipKey(ref.batch, ref.clip)}/${ref.attempt}`;
}

function isLive(state: State, slot: string): boolean {
  const end = slot.lastIndexOf("/");
  return state.leases.get(slot.slice(0, end))?.attempt === Number(slot.slice(end + 1));
}

function forgetOldest(live: Liveness): void {
  if (live.workers.size <= workersMax) return;
  for (const [id, { connected }] of live.workers) {
    if (connected) continue;
    live.workers.delete(id);
    return;
  }
}
