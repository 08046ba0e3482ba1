// What an agent says, as the leader remembers it: which devices there are and want a lease, which
// attempts are held and how far they are. Nothing of it is decided here.

import { remove } from "./devices.js";
import type { AttemptRef } from "./events.js";
import {
  type AttemptReport,
  type DeviceInfo,
  type DeviceMemory,
  hasBegun,
  joinAhead,
  type Known,
  type LeaseMemory,
  type Liveness,
  leaveAhead,
  newLease,
  rearrange,
  refOf,
  slotName,
  type WorkerHello,
  type WorkerMemory,
  workersMax,
} from "./liveness.js";
import { clipKey, deviceKey, heldLease, isQuarantined, type Lease } from "./state.js";

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
  memory.known = true;
  memory.stage = stage;
  memory.step = step;
  memory.steps = steps;
  memory.totals = totals;
  if (hasBegun(memory)) leaveAhead(memory);
  else if (memory.ahead === null && lease.since === null) joinAhead(live, memory);
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

function renew(live: Liveness, lease: Lease, now: number): LeaseMemory {
  const key = clipKey(lease.batch, lease.clip);
  const memory = live.leases.get(key) ?? newLease(lease, now);
  memory.renewedAt = now;
  live.leases.delete(key); // so that the map stays in the order of renewal
  live.leases.set(key, memory);
  return memory;
}

function forgetOldest(live: Liveness): void {
  if (live.workers.size <= workersMax) return;
  for (const [id, { connected }] of live.workers) {
    if (connected) continue;
    live.workers.delete(id);
    return;
  }
}
