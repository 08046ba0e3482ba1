// The few ways in which a clip moves within its batch while events are folded in: into the queue,
// out of it, away from its device, to its end. All counts of batch, tenant and pool are kept here.

import { AssertionError, assert, present } from "../../common/assert.js";
import { correct, tenantOf } from "./fair-share.js";
import {
  type Batch,
  type Clip,
  clipKey,
  clipsQueued,
  newClip,
  nowhere,
  type State,
} from "./state.js";

/**
 * Ended batches stay readable until this many ended after them, or batches with this many clips;
 * their files stay in any case.
 */
export const endedBatchesMax = 10_000;
export const endedClipsMax = 250_000;

export function batchOf(state: State, id: string): Batch {
  const batch = state.batches.get(id);
  if (!batch) throw new AssertionError(`there is no batch ${id}`);
  return batch;
}

/** The clip's record; a fresh clip gets one, and waits from then on like one that came back. */
export function recordOf(batch: Batch, index: number): Clip {
  const known = batch.clips.get(index);
  if (known) return known;
  assert(index >= batch.nextFresh && index < batch.clipsTotal, "a batch has no such clip");
  const clip = newClip(batch, index);
  batch.clips.set(index, clip);
  batch.waiting.add(index);
  batch.clipsFresh -= 1;
  while (batch.clips.has(batch.nextFresh)) batch.nextFresh += 1;
  return clip;
}

export function enqueue(state: State, batch: Batch, clip: Clip): void {
  if (clipsQueued(batch) === 0) batch.waitingSince = state.at;
  batch.waiting.add(clip.index);
  count(state, batch, 1);
}

export function dequeue(state: State, batch: Batch, clip: Clip): void {
  assert(batch.waiting.delete(clip.index), "a clip leaves the queue and does not wait");
  if (batch.promoted.size > 0) batch.promoted.delete(clip.index);
  count(state, batch, -1);
}

/** Adds to what waits in the pool and of the batch's tenant. */
export function count(state: State, batch: Batch, clips: number): void {
  state.clipsQueued += clips;
  tenantOf(state, batch.tenant).clipsQueued += clips;
}

/**
 * Ends the clip's lease, charges the tenant what it took, and gives the device to the attempt
 * behind it. The answer is the seconds for which the attempt had its device.
 */
export function release(state: State, batch: Batch, clip: Clip): number {
  const lease = present(clip.lease, "a clip is released and not leased");
  const seconds = lease.since === null ? 0 : (state.at - lease.since) / 1000;
  clip.lease = null;
  batch.leased.delete(clip.index);
  if (batch.leased.size === 0) batch.waitingSince = state.at;
  state.leases.delete(clipKey(batch.id, clip.index));
  const onWorker = present(state.leasesByWorker.get(lease.worker), "a worker has its leases");
  onWorker.delete(lease);
  if (onWorker.size === 0) state.leasesByWorker.delete(lease.worker);
  for (const next of onWorker) {
    if (next.device === lease.device && next.since === null) next.since = state.at;
  }
  correct(state, batch.tenant, lease, seconds);
  return seconds;
}

/** The clip waits for somebody to judge its preview. */
export function awaitVerdict(batch: Batch, clip: Clip): void {
  clip.awaitingApproval = true;
  batch.clipsAwaitingApproval += 1;
}

/** What the clip has still to render is added to what is left of its batch, or taken off it. */
export function countLeft(batch: Batch, clip: Clip, sign: 1 | -1): void {
  if (clip.previewing) batch.previewsLeft += sign;
  batch.segmentsLeft += sign * (batch.segments - clip.segment);
}

/** Nothing is held against the clip any more. */
export function clearTroubles(clip: Clip): void {
  clip.failures = 0;
  clip.failuresOfIo = 0;
  clip.failedOn = nowhere;
  clip.outOfMemory = false;
  clip.memoryBytesAbove = 0;
  clip.retryAt = 0;
  clip.backingOff = false;
}

export function endIfDone(state: State, batch: Batch): void {
  const { clipsPublished, clipsFailed, clipsSkipped, clipsTotal } = batch;
  if (clipsPublished + clipsFailed + clipsSkipped === clipsTotal) end(state, batch);
}

/** A batch ends; the oldest ended ones may be forgotten. */
export function end(state: State, batch: Batch): void {
  batch.endedAt = state.at;
  batch.failuresByWorker.clear();
  state.unfinished.delete(batch.id);
  state.ended.set(batch.id, batch);
  state.clipsHeld -= batch.clipsTotal;
  state.clipsEnded += batch.clipsTotal;
  tenantOf(state, batch.tenant).batchesUnfinished -= 1;
  for (const oldest of state.ended.values()) {
    if (state.ended.size <= endedBatchesMax && state.clipsEnded <= endedClipsMax) return;
    if (oldest === batch) return;
    state.ended.delete(oldest.id);
    state.batches.delete(oldest.id);
    state.clipsEnded -= oldest.clipsTotal;
  }
}

/** A batch begins, or goes on after it had ended. */
export function open(state: State, batch: Batch): void {
  if (batch.endedAt !== null) {
    batch.endedAt = null;
    state.ended.delete(batch.id);
    state.clipsEnded -= batch.clipsTotal;
  }
  state.unfinished.set(batch.id, batch);
  state.clipsHeld += batch.clipsTotal;
  tenantOf(state, batch.tenant).batchesUnfinished += 1;
}
