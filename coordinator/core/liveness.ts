// What the leader remembers of agents, devices and running attempts. None of it is in the log: a
// new leader starts empty, gives every lease its full time anew, and learns the rest from the
// agents' Hellos. It changes by what agents say (agent-memory.ts) and by what was decided
// (event-memory.ts). The queue and the groups of devices are indexes over it and the state, kept up
// to date along the way.

import type { DeviceMemory, ModelInfo, WorkerMemory } from "./devices.js";
import { arrange, type DeviceGroups, type DeviceInfo } from "./devices.js";
import type { AttemptRef, RenderTotals } from "./events.js";
import type { Rules } from "./rules.js";
import { clipKey, type Lease, type State } from "./state.js";
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
  /** It was given in this reign, or its agent has told in this reign how far it is. */
  known: boolean;
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
    live.leases.set(key, { ...newLease(lease, now), known: false });
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

/** It can be taken back at no cost. Whatever may have gone on under an earlier leader cannot. */
export function isWaiting(memory: LeaseMemory): boolean {
  return memory.known && !hasBegun(memory);
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

/** It was just given: nothing of it is done. */
export function newLease(lease: Lease, now: number): LeaseMemory {
  const progress = { stage: "", step: 0, steps: 0, totals: null };
  return { lease, renewedAt: now, known: true, ...progress, movedAt: now, cut: null, ahead: null };
}

/** It waits behind another attempt on its device. */
export function joinAhead(live: Liveness, memory: LeaseMemory): void {
  const key = live.queue.work(memory.lease.batch)?.workClass.key;
  if (key === undefined) return;
  memory.ahead = live.ahead.get(key) ?? new Set();
  live.ahead.set(key, memory.ahead.add(memory));
}

/** It has begun or ended. */
export function leaveAhead(memory: LeaseMemory): void {
  memory.ahead?.delete(memory);
  memory.ahead = null;
}

export function newCanary(
  { worker, device }: { readonly worker: string; readonly device: string },
  nextAt: number,
): CanaryMemory {
  return { worker, device, id: "", weightsDigest: "", sentAt: 0, failures: 0, nextAt };
}

export function slotName(ref: AttemptRef): string {
  return `${clipKey(ref.batch, ref.clip)}/${ref.attempt}`;
}
