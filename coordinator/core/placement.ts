// Which clip goes to which device. For each group of equal devices: tiers strictly in order, within
// a tier the tenant that was served least, then its batches by deadline, rank and age, then the
// clips that came back before the fresh ones. Among choices that are equally right, the device that
// is warm for one of them decides: it holds the weights, has rendered that shape, has encoded that
// prompt, or is of the kind that made the checkpoint.
//
// Devices are gone over up to four times: first those that are idle, then those that ask one ahead;
// and first only what fits well, then whatever may be run, since no device idles for a better fit.
// Going past the work that is due first is bounded: after `passesMax` times in a row it is next,
// and work with a deadline, or that a user has moved, is never gone past.

import { lost, stop } from "./attempts.js";
import type { DeviceGroup, DeviceMemory, FreeDevices } from "./devices.js";
import type { LeaseGranted } from "./events.js";
import type { Known, LeaseMemory } from "./liveness.js";
import { shapeKey } from "./liveness.js";
import type { Bucket } from "./ready-clips.js";
import { tenantRules } from "./rules.js";
import { areTooSmall, hasMemory, isBarred, isElsewhere, isTooSmall } from "./runners.js";
import { tiers } from "./state.js";
import { isFull, type Sweep } from "./sweep.js";
import { resumeStepOf, secondsFrom, workOf } from "./work.js";
import type { BatchWork } from "./work-queue.js";
import { effectiveTier } from "./work-queue.js";

export { eventsPerTurnMax } from "./sweep.js";

/** How often in a row the work that is due first may be gone past for a warm device. */
const passesMax = 8;

/** Work behind the first that is looked at for a warm device. */
const windowMax = 8;

interface Choice {
  readonly work: BatchWork;
  readonly device: DeviceMemory;
  readonly clip: number;
}

/** How well a choice must fit. */
type Fit = "well" | "at all";

/** Leases for the devices that want one. */
export function place(sweep: Sweep): void {
  const { groups } = sweep.known.live;
  for (const freedom of ["idle", "ahead"] as const) {
    for (const fit of ["well", "at all"] as const) {
      for (const group of groups.values()) placeGroup(sweep, group, freedom, fit);
    }
    if (freedom === "idle") takeBack(sweep);
  }
}

function placeGroup(sweep: Sweep, group: DeviceGroup, freedom: "idle" | "ahead", fit: Fit): void {
  const free = group[freedom];
  while (free.all.size > 0 && !isFull(sweep)) {
    const choice = choose(sweep.known, group, free, fit);
    if (!choice) return;
    sweep.record(grant(sweep, choice));
  }
}

/** The next lease for one of the group's free devices; null when nothing fits. */
function choose(known: Known, group: DeviceGroup, free: FreeDevices, fit: Fit): Choice | null {
  const { live, state, rules } = known;
  const mayHaveMore = (tenant: string): boolean =>
    (state.tenants.get(tenant)?.leases ?? 0) < tenantRules(rules, tenant).devicesMax;
  for (let tier = 0; tier < tiers; tier++) {
    if (!live.queue.hasWork(group, tier)) continue;
    const works = fitting(known, group, live.queue.inOrder(group, tier, mayHaveMore));
    const choice = chooseFrom(known, works, free, fit);
    if (choice !== undefined) return choice;
  }
  return null;
}

/** Without the batches that no device of the group has the memory for. */
function* fitting(
  known: Known,
  group: DeviceGroup,
  works: Iterable<BatchWork>,
): Generator<BatchWork> {
  for (const work of works) if (!areTooSmall(known, work.batch, group)) yield work;
}

/** Undefined when no free device may run any of it; null when one may, but nothing fits well. */
function chooseFrom(
  known: Known,
  works: Iterable<BatchWork>,
  free: FreeDevices,
  fit: Fit,
): Choice | null | undefined {
  let first: Choice | undefined;
  let seen = 0;
  for (const work of works) {
    if (first && (seen >= windowMax || !mayBePassed(first.work) || !mayPass(work))) break;
    const well = chooseDevice(known, work, free, "well");
    if (well) {
      if (first) first.work.passes += 1;
      else work.passes = 0;
      return well;
    }
    first ??= chooseDevice(known, work, free, "at all") ?? undefined;
    if (first) {
      seen += 1;
      if (fit === "at all") break;
    }
  }
  if (!first) return undefined;
  if (fit === "well" && first.work.passes < passesMax && mayBePassed(first.work)) return null;
  first.work.passes = 0;
  return first;
}

/** Its place is by share and age alone, and it was not gone past too often. */
function mayBePassed(work: BatchWork): boolean {
  return work.passes < passesMax && mayPass(work) && work.batch.rank === 0;
}

function mayPass({ batch }: BatchWork): boolean {
  return batch.deadlineAt === null && batch.rank <= 0;
}

/**
 * A free device and a clip for it. Well: the device holds the weights, and no step is done twice.
 */
function chooseDevice(known: Known, work: BatchWork, free: FreeDevices, fit: Fit): Choice | null {
  const { spec } = work.batch;
  const warm = [free.byShape.get(shapeKey(spec)), free.byModel.get(spec.model)];
  const others = fit === "well" ? [] : [free.byModel.get(""), free.all];
  for (const devices of [...warm, ...others]) {
    for (const device of devices ?? []) {
      const clip = chooseClip(known, work, device, fit);
      if (clip !== undefined) return { work, device, clip };
    }
  }
  return null;
}

/** The clip of the batch that is next for the device. */
function chooseClip(
  known: Known,
  work: BatchWork,
  device: DeviceMemory,
  fit: Fit,
): number | undefined {
  const { batch, ready } = work;
  if (isBarred(known, batch, device.worker.id)) return undefined;
  if (isTooSmall(known, batch, device)) return undefined;
  const may = (bucket: Bucket | undefined, begins: boolean): boolean =>
    bucket !== undefined &&
    begins === (bucket.checkpointKind !== "" && bucket.checkpointKind !== device.info.kind) &&
    mayRun(known, work, bucket, device);
  if (ready.size > 0) {
    for (const index of batch.promoted) if (may(ready.bucketOf(index), false)) return index;
    if (work.clipPasses < passesMax) {
      for (const index of ready.of(device.worker.id)) {
        if (may(ready.bucketOf(index), false)) return index;
      }
    }
    for (const bucket of ready.buckets.values()) {
      if (may(bucket, false)) for (const index of bucket.clips) return index;
    }
  }
  if (batch.clipsFresh > 0) return batch.nextFresh;
  if (fit === "well") return undefined;
  for (const bucket of ready.buckets.values()) {
    if (may(bucket, true)) for (const index of bucket.clips) return index;
  }
  return undefined;
}

/** A clip that failed on this worker waits for another one, while there is another one. */
function mayRun(known: Known, { batch }: BatchWork, bucket: Bucket, device: DeviceMemory): boolean {
  if (!hasMemory(device, bucket)) return false;
  return !bucket.failedOn.includes(device.worker.id) || !isElsewhere(known, batch, bucket);
}

function grant({ known, now }: Sweep, { work, device, clip: index }: Choice): LeaseGranted {
  const { state, rules } = known;
  const { batch } = work;
  const clip = batch.clips.get(index);
  const { kind } = device.info;
  const { preview, segment } = workOf(batch, clip);
  const resumeStep = resumeStepOf(clip, kind);
  noteClipPass(work, device, index);
  return {
    type: "LeaseGranted",
    at: now,
    batch: batch.id,
    clip: index,
    attempt: (clip?.attempt ?? 0) + 1,
    worker: device.worker.id,
    device: device.info.name,
    kind,
    preview,
    segment,
    resumeStep,
    deviceSeconds: secondsFrom(state, batch, { kind, preview, resumeStep }),
    tier: effectiveTier(batch, rules, now),
    weight: tenantRules(rules, batch.tenant).weight,
  };
}

/** Clips that waited longer were gone past for one whose prompt is encoded there. */
function noteClipPass(work: BatchWork, { worker }: DeviceMemory, index: number): void {
  const warm = work.batch.clips.get(index)?.worker === worker.id;
  work.clipPasses = warm && work.clipPasses < passesMax ? work.clipPasses + 1 : 0;
}

/** Idle devices that got nothing begin what waits behind another attempt elsewhere. */
function takeBack(sweep: Sweep): void {
  const { known, now } = sweep;
  const { live } = known;
  for (const group of live.groups.values()) {
    for (const device of group.idle.all) {
      if (isFull(sweep) || !isAnybodyBehind(known, group)) break;
      const memory = waitingBehind(known, group, device);
      if (!memory) continue;
      const { lease } = memory;
      sweep.record(lost(known, lease, "revoked", now));
      sweep.request(stop(lease, "revoked"));
      placeGroup(sweep, group, "idle", "at all");
    }
  }
}

function isAnybodyBehind({ live }: Known, group: DeviceGroup): boolean {
  return live.queue.classesFor(group).some(({ key }) => (live.ahead.get(key)?.size ?? 0) > 0);
}

function waitingBehind(
  known: Known,
  group: DeviceGroup,
  device: DeviceMemory,
): LeaseMemory | undefined {
  for (const { key } of known.live.queue.classesFor(group)) {
    for (const memory of known.live.ahead.get(key) ?? []) {
      const { batch: id, clip: index } = memory.lease;
      const batch = known.state.batches.get(id);
      const clip = batch?.clips.get(index);
      if (!batch || !clip || batch.paused) continue;
      if (isBarred(known, batch, device.worker.id) || !hasMemory(device, clip)) continue;
      if (isTooSmall(known, batch, device)) continue;
      if (!clip.failedOn.includes(device.worker.id)) return memory;
    }
  }
  return undefined;
}
