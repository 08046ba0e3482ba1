// What was decided, as the leader remembers it: leases given and ended, devices put away and let
// back, agents asked for something.

import type { Effect } from "./commands.js";
import type { DeviceQuarantined, DeviceReleased, FarmEvent, LeaseGranted } from "./events.js";
import {
  joinAhead,
  type Known,
  leaveAhead,
  newCanary,
  newLease,
  rearrange,
  refOf,
  shapeKey,
  slotName,
} from "./liveness.js";
import { clipKey, deviceKey, heldLease, type State } from "./state.js";

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
