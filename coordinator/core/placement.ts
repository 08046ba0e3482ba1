// Which clip goes to which device: tiers strictly in order, within a tier the oldest batch first,
// within a batch the clips that came back before the fresh ones. A clip that failed somewhere goes
// elsewhere while there is an elsewhere.

import type { FarmEvent, LeaseGranted } from "./events.js";
import { type DeviceMemory, isFree, type Liveness, type WorkerMemory } from "./liveness.js";
import type { RetryPolicy } from "./retry-policy.js";
import type { Batch, Clip, State } from "./state.js";

/** Leases and failures of one turn, so that its events stay within a log message. */
export const eventsPerTurnMax = 500;

interface Candidate {
  readonly worker: WorkerMemory;
  readonly device: DeviceMemory;
}

/** Leases for the devices that want one. */
export function place(
  state: State,
  live: Liveness,
  policy: RetryPolicy,
  now: number,
): readonly LeaseGranted[] {
  const grants: LeaseGranted[] = [];
  const free = freeDevices(live);
  for (const queue of state.queues) {
    for (const batch of queue.values()) {
      if (free.size === 0 || grants.length >= eventsPerTurnMax) return grants;
      placeBatch(batch, { free, live, policy, now, grants });
    }
  }
  return grants;
}

interface Placing {
  readonly free: Set<Candidate>;
  readonly live: Liveness;
  readonly policy: RetryPolicy;
  readonly now: number;
  readonly grants: LeaseGranted[];
}

function placeBatch(batch: Batch, { free, live, policy, now, grants }: Placing): void {
  const runners = runnersOf(batch, live);
  const due = clipsDue(batch, now);
  let fresh = batch.nextFresh;
  for (const candidate of free) {
    const { worker, device } = candidate;
    if (grants.length >= eventsPerTurnMax) return;
    if (due.size === 0 && fresh >= batch.clipsTotal) return;
    if (!matches(batch, worker, device) || isBarred(batch, worker.id, policy)) continue;
    let clip: number | undefined;
    for (const waiting of due) {
      if (!mayRun(waiting, candidate) || isBetterElsewhere(batch, waiting, worker, runners, policy))
        continue;
      clip = waiting.index;
      due.delete(waiting);
      break;
    }
    if (clip === undefined && fresh < batch.clipsTotal) clip = fresh++;
    if (clip === undefined) continue;
    free.delete(candidate);
    grants.push({
      type: "LeaseGranted",
      at: now,
      batch: batch.id,
      clip,
      attempt: (batch.clips.get(clip)?.attempt ?? 0) + 1,
      worker: worker.id,
      device: device.info.name,
      kind: device.info.kind,
    });
  }
}

/** Clips that nobody who is left may run fail, with the reason of the last failure. */
export function failStarved(
  state: State,
  live: Liveness,
  policy: RetryPolicy,
  now: number,
): readonly FarmEvent[] {
  const events: FarmEvent[] = [];
  for (const queue of state.queues) {
    for (const batch of queue.values()) {
      if (batch.failuresByWorker.size === 0) continue; // then nobody is barred from anything
      const runners = runnersOf(batch, live);
      if (runners.length === 0) continue; // somebody may come
      const allowed = runners.filter(({ worker }) => !isBarred(batch, worker.id, policy));
      for (const clip of starvedClips(batch, allowed)) {
        if (events.length >= eventsPerTurnMax) return events;
        const failure = starvation(batch, batch.clips.get(clip), runners.length);
        events.push({ type: "ClipFailed", at: now, batch: batch.id, clip, failure });
      }
    }
  }
  return events;
}

/** Whether a connected device that matches the batch has more memory than this. */
export function hasBiggerDevice(
  batch: Batch,
  live: Liveness,
  policy: RetryPolicy,
  memoryBytes: number,
): boolean {
  return runnersOf(batch, live).some(
    ({ worker, device }) =>
      device.info.memoryBytes > memoryBytes && !isBarred(batch, worker.id, policy),
  );
}

/**
 * Whether the device of a connected worker can render the batch: its model, weights, dtype and
 * backend.
 */
function matches(batch: Batch, worker: WorkerMemory, { info }: DeviceMemory): boolean {
  const { model, dtype, device } = batch.spec;
  return (
    worker.connected &&
    worker.models.get(model)?.weightsDigest === batch.weightsDigest &&
    (dtype === "" || dtype === info.dtype) &&
    (device === "" || device === info.name.split(":")[0])
  );
}

function isBarred(batch: Batch, worker: string, policy: RetryPolicy): boolean {
  return (batch.failuresByWorker.get(worker) ?? 0) >= policy.workerFailuresMax;
}

function mayRun(clip: Clip, { device }: Candidate): boolean {
  return device.info.memoryBytes > clip.memoryBytesAbove || clip.memoryBytesAbove === 0;
}

/** The clip failed on this worker, and another one is there on which it did not. */
function isBetterElsewhere(
  batch: Batch,
  clip: Clip,
  { id }: WorkerMemory,
  runners: readonly Candidate[],
  policy: RetryPolicy,
): boolean {
  if (!clip.failedOn.includes(id)) return false;
  return runners.some(
    (other) =>
      !clip.failedOn.includes(other.worker.id) &&
      !isBarred(batch, other.worker.id, policy) &&
      mayRun(clip, other),
  );
}

function* starvedClips(batch: Batch, allowed: readonly Candidate[]): Generator<number> {
  const nobody = allowed.length === 0;
  for (const index of batch.waiting) {
    const clip = batch.clips.get(index);
    if (nobody || (clip && !allowed.some((candidate) => mayRun(clip, candidate)))) yield index;
  }
  if (!nobody) return;
  for (let index = batch.nextFresh; index < batch.clipsTotal; index++) yield index;
}

function starvation(batch: Batch, clip: Clip | undefined, runners: number) {
  const last = clip?.failure ?? batch.lastFailure;
  const reason = last?.message ?? "none";
  return {
    code: last?.code ?? "FAILED_PRECONDITION",
    message: `none of ${runners} devices may run it any more; last failure: ${reason}`,
  };
}

function clipsDue(batch: Batch, now: number): Set<Clip> {
  const due = new Set<Clip>();
  for (const index of batch.waiting) {
    const clip = batch.clips.get(index);
    if (clip && clip.retryAt <= now) due.add(clip);
  }
  return due;
}

function runnersOf(batch: Batch, live: Liveness): Candidate[] {
  return candidates(live).filter(
    ({ worker, device }) => device.info.condition !== "failed" && matches(batch, worker, device),
  );
}

function freeDevices(live: Liveness): Set<Candidate> {
  return new Set(candidates(live).filter(({ device }) => isFree(device)));
}

function candidates(live: Liveness): Candidate[] {
  return [...live.workers.values()].flatMap((worker) =>
    worker.connected ? [...worker.devices.values()].map((device) => ({ worker, device })) : [],
  );
}
