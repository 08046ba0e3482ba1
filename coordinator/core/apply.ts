// The fold: one event after the other into the state, with no clock and no choice of its own, so
// that every replay gives the same state. An event that does not fit the state is our own mistake
// (only a leader that holds the log's newest sequence writes), hence assertions. Here is what
// happens to attempts and devices; what users ask of batches is in apply-verbs.ts.

import { AssertionError, assert } from "../../common/assert.js";
import { applyVerb } from "./apply-verbs.js";
import type {
  AttemptFailed,
  AttemptLost,
  AttemptRef,
  CheckpointStored,
  ClipFailed,
  ClipPublished,
  DeviceQuarantined,
  DeviceReleased,
  FarmEvent,
  LeaseGranted,
  PreviewPublished,
  SegmentCompleted,
} from "./events.js";
import { charge } from "./fair-share.js";
import { publicationOf } from "./publication.js";
import {
  awaitVerdict,
  batchOf,
  clearTroubles,
  countLeft,
  dequeue,
  endIfDone,
  enqueue,
  recordOf,
  release,
} from "./queueing.js";
import { classOf } from "./retry-policy.js";
import {
  type Batch,
  type Clip,
  canaryKey,
  clipKey,
  type DeviceTrouble,
  deviceKey,
  heldLease,
  type Lease,
  type State,
} from "./state.js";
import { flopsFrom, learnSpeed } from "./work.js";

export { submissionsKeptMs } from "./apply-verbs.js";
export { endedBatchesMax, endedClipsMax } from "./queueing.js";

/** Devices with something against them, and canaries, beyond which the oldest are forgotten. */
const troublesMax = 10_000;
const canariesMax = 1_000;

/** Folds one event, which stands in the log at `sequence`, into the state. */
export function apply(state: State, event: FarmEvent, sequence: number): void {
  if (event.at < state.at || sequence < state.sequence) throw outOfOrder(state, event, sequence);
  state.at = event.at;
  state.sequence = sequence;
  switch (event.type) {
    case "LeaderStarted":
      assert(event.term > state.term, `term ${event.term} does not follow ${state.term}`);
      state.term = event.term;
      return;
    case "LeaseGranted":
      grant(state, event);
      return;
    case "AttemptStarted":
      started(state, event);
      return;
    case "CheckpointStored":
      storeCheckpoint(state, event);
      return;
    case "AttemptLost":
      lose(state, event);
      return;
    case "AttemptFailed":
      fail(state, event);
      return;
    case "SegmentCompleted":
    case "PreviewPublished":
    case "ClipPublished":
      complete(state, event);
      return;
    case "ClipFailed":
      failClip(state, event);
      return;
    case "DeviceQuarantined":
      quarantine(state, event);
      return;
    case "DeviceReleased":
      releaseDevice(state, event);
      return;
    case "WorkerDrained":
      state.drained.add(event.worker);
      return;
    case "WorkerUndrained":
      state.drained.delete(event.worker);
      return;
    default:
      applyVerb(state, event);
  }
}

function outOfOrder(state: State, { at }: FarmEvent, sequence: number): AssertionError {
  const now = `the state at ${state.at}, sequence ${state.sequence}`;
  return new AssertionError(`the event at ${at}, sequence ${sequence}, is older than ${now}`);
}

function grant(state: State, event: LeaseGranted): void {
  const batch = batchOf(state, event.batch);
  const clip = recordOf(batch, event.clip);
  dequeue(state, batch, clip);
  assert(event.attempt === clip.attempt + 1, "an attempt is numbered out of order");
  const onWorker = leasesOfWorker(state, event.worker);
  const lease = leaseOf(event, isFirst(onWorker, event.device) ? event.at : null);
  clip.attempt = event.attempt;
  clip.worker = event.worker;
  clip.lease = lease;
  clip.backingOff = false;
  clip.changedAt = state.sequence;
  batch.begun = true;
  batch.waitingSince = event.at;
  batch.leased.add(clip.index);
  onWorker.add(lease);
  state.leases.set(clipKey(batch.id, clip.index), lease);
  charge(state, batch.tenant, lease);
}

function leaseOf(event: LeaseGranted, since: number | null): Lease {
  return {
    batch: event.batch,
    clip: event.clip,
    attempt: event.attempt,
    worker: event.worker,
    device: event.device,
    kind: event.kind,
    preview: event.preview,
    segment: event.segment,
    resumeStep: event.resumeStep,
    deviceSeconds: event.deviceSeconds,
    weight: event.weight,
    chargedTier: event.tier,
    grantedAt: event.at,
    tier: event.tier,
    since,
    started: false,
  };
}

function isFirst(onWorker: ReadonlySet<Lease>, device: string): boolean {
  for (const lease of onWorker) if (lease.device === device) return false;
  return true;
}

function leasesOfWorker(state: State, worker: string): Set<Lease> {
  const known = state.leasesByWorker.get(worker);
  if (known) return known;
  const fresh = new Set<Lease>();
  state.leasesByWorker.set(worker, fresh);
  return fresh;
}

function started(state: State, event: AttemptRef): void {
  const { lease, clip } = holderOf(state, event);
  lease.started = true;
  clip.changedAt = state.sequence;
}

function storeCheckpoint(state: State, event: CheckpointStored): void {
  const { lease, clip } = holderOf(state, event);
  clip.checkpoint = { ...event.checkpoint, kind: lease.kind };
  clip.changedAt = state.sequence;
}

function lose(state: State, event: AttemptLost): void {
  const { batch, clip } = holderOf(state, event);
  release(state, batch, clip);
  if (event.reason !== "revoked") clip.interruptions += 1;
  waitAgain(state, batch, clip, event.retryAt);
}

function fail(state: State, event: AttemptFailed): void {
  const { batch, clip, lease } = holderOf(state, event);
  const { failure } = event;
  release(state, batch, clip);
  clip.failure = failure;
  if (failure.code === "INVALID_CHECKPOINT" && lease.resumeStep > 0) {
    clip.checkpoint = null; // what it resumed from is worthless: the attempt was for nothing
    clip.interruptions += 1;
    waitAgain(state, batch, clip, event.retryAt);
    return;
  }
  const kind = classOf(failure.code);
  if (kind === "io") clip.failuresOfIo += 1;
  else clip.failures += 1;
  clip.outOfMemory ||= failure.code === "OUT_OF_MEMORY";
  clip.memoryBytesAbove = Math.max(clip.memoryBytesAbove, event.memoryBytesAbove);
  if (!clip.failedOn.includes(lease.worker)) clip.failedOn = [...clip.failedOn, lease.worker];
  waitAgain(state, batch, clip, event.retryAt);
  clip.backingOff = true;
  batch.lastFailure = failure;
  if (kind === "input" || kind === "io") return; // no worker is to blame for input, or a store
  const failures = batch.failuresByWorker.get(lease.worker) ?? 0;
  batch.failuresByWorker.set(lease.worker, failures + 1);
  if (kind === "crash") troubleOf(state, lease).failuresInRow += 1;
}

function waitAgain(state: State, batch: Batch, clip: Clip, retryAt: number): void {
  clip.retryAt = retryAt;
  clip.changedAt = state.sequence;
  enqueue(state, batch, clip);
}

function complete(state: State, event: SegmentCompleted | PreviewPublished | ClipPublished): void {
  const { batch, clip, lease } = holderOf(state, event);
  const seconds = release(state, batch, clip);
  const { worker, device, kind } = lease;
  const files = publicationOf(lease, event, seconds);
  const { model } = batch.spec;
  learnSpeed(state, { kind, model }, flopsFrom(batch, lease.preview, lease.resumeStep), seconds);
  clearTroubles(clip);
  clip.checkpoint = null;
  clip.changedAt = state.sequence;
  const key = deviceKey(worker, device);
  if (state.troubles.get(key)?.quarantine === null) state.troubles.delete(key);
  if (event.type === "PreviewPublished") {
    clip.previewing = false;
    batch.previewsLeft -= 1;
    clip.preview = files;
    awaitVerdict(batch, clip);
  } else if (event.type === "SegmentCompleted") {
    clip.segment += 1;
    batch.segmentsLeft -= 1;
    clip.segmentsDone = [...clip.segmentsDone, files];
    waitAgain(state, batch, clip, 0);
  } else {
    clip.publication = files;
    batch.clipsPublished += 1;
    batch.segmentsLeft -= 1;
    endIfDone(state, batch);
  }
}

function failClip(state: State, event: ClipFailed): void {
  const batch = batchOf(state, event.batch);
  const clip = recordOf(batch, event.clip);
  dequeue(state, batch, clip);
  clip.end = "failed";
  clip.failure = event.failure;
  clip.checkpoint = null;
  clip.changedAt = state.sequence;
  batch.clipsFailed += 1;
  countLeft(batch, clip, -1);
  endIfDone(state, batch);
}

function troubleOf(
  state: State,
  { worker, device, kind }: Pick<Lease, "worker" | "device" | "kind">,
): DeviceTrouble {
  const key = deviceKey(worker, device);
  const known = state.troubles.get(key);
  if (known) return known;
  const fresh: DeviceTrouble = { kind, failuresInRow: 0, quarantine: null };
  state.troubles.set(key, fresh);
  forgetBeyond(state.troubles, troublesMax);
  return fresh;
}

function quarantine(state: State, event: DeviceQuarantined): void {
  troubleOf(state, event).quarantine = { at: event.at, failure: event.failure };
}

function releaseDevice(state: State, event: DeviceReleased): void {
  const key = deviceKey(event.worker, event.device);
  const trouble = state.troubles.get(key);
  state.troubles.delete(key);
  if (!trouble || event.by !== "canary") return;
  const canary = canaryKey(trouble.kind, event.weightsDigest);
  if (!state.canaries.has(canary)) state.canaries.set(canary, event.sha256);
  forgetBeyond(state.canaries, canariesMax);
}

function forgetBeyond(map: Map<string, unknown>, max: number): void {
  if (map.size <= max) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}

function holderOf(
  state: State,
  ref: AttemptRef,
): { readonly batch: Batch; readonly clip: Clip; readonly lease: Lease } {
  const batch = batchOf(state, ref.batch);
  const clip = batch.clips.get(ref.clip);
  const lease = heldLease(state, ref);
  if (clip && lease) return { batch, clip, lease };
  const name = `${clipKey(ref.batch, ref.clip)}/${ref.attempt}`;
  throw new AssertionError(`attempt ${name} holds no lease`);
}
