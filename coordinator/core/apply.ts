// The fold: one event after the other into the state, with no clock and no choice of its own, so
// that every replay gives the same state. An event that does not fit the state is our own mistake
// (only a leader that holds the log's newest sequence writes), hence assertions.

import { assert, present, unreachable } from "../../common/assert.js";
import type {
  AttemptFailed,
  AttemptLost,
  AttemptRef,
  BatchAccepted,
  BatchCancelled,
  ClipFailed,
  ClipPublished,
  FarmEvent,
  LeaseGranted,
} from "./events.js";
import {
  type Batch,
  type Clip,
  clipKey,
  heldLease,
  type Lease,
  newBatch,
  newClip,
  type State,
} from "./state.js";

/** Ended batches stay readable until this many younger ones ended; their files stay in any case. */
export const endedBatchesMax = 10_000;

/** A repeated submission is recognised for this long. */
export const submissionsKeptMs = 7 * 24 * 3600 * 1000;

/** Weight of the newest clip in a kind's learnt speed. */
const speedWeight = 0.2;

/** Folds one event, which stands in the log at `sequence`, into the state. */
export function apply(state: State, event: FarmEvent, sequence: number): void {
  assert(event.at >= state.at, `the event at ${event.at} is older than the state at ${state.at}`);
  assert(sequence >= state.sequence, `sequence ${sequence} is behind ${state.sequence}`);
  state.at = event.at;
  state.sequence = sequence;
  switch (event.type) {
    case "LeaderStarted":
      assert(event.term > state.term, `term ${event.term} does not follow ${state.term}`);
      state.term = event.term;
      return;
    case "BatchAccepted":
      accept(state, event);
      break;
    case "BatchCancelled":
      cancel(state, event);
      break;
    case "LeaseGranted":
      grant(state, event);
      break;
    case "AttemptStarted": {
      const { lease, clip } = holderOf(state, event);
      lease.started = true;
      clip.changedAt = sequence;
      return;
    }
    case "AttemptLost":
      lose(state, event);
      break;
    case "AttemptFailed":
      fail(state, event);
      break;
    case "ClipPublished":
      publish(state, event);
      break;
    case "ClipFailed":
      failClip(state, event);
      break;
    default:
      unreachable(event);
  }
}

function accept(state: State, event: BatchAccepted): void {
  assert(!state.batches.has(event.batch), `batch ${event.batch} is accepted twice`);
  const batch = newBatch(event, state.sequence);
  state.batches.set(batch.id, batch);
  queueOf(state, batch).set(batch.id, batch);
  for (const [key, submission] of state.submissions) {
    if (submission.at > event.at - submissionsKeptMs) break; // oldest first
    state.submissions.delete(key);
  }
  if (event.idempotencyKey !== "") {
    const { bodySha256, at } = event;
    state.submissions.delete(event.idempotencyKey); // so that the map stays in the order of time
    state.submissions.set(event.idempotencyKey, { batch: batch.id, bodySha256, at });
  }
}

function cancel(state: State, event: BatchCancelled): void {
  const batch = batchOf(state, event.batch);
  assert(batch.endedAt === null, `batch ${batch.id} is cancelled after its end`);
  batch.cancelled = true;
  batch.changedAt = state.sequence;
  batch.waiting.clear();
  for (const clip of batch.clips.values()) {
    if (clip.lease) release(state, batch, clip);
    if (!clip.publication && !clip.failed) clip.changedAt = state.sequence;
  }
  end(state, batch);
}

function grant(state: State, event: LeaseGranted): void {
  const batch = batchOf(state, event.batch);
  assert(batch.endedAt === null, `batch ${batch.id} has ended and leases a clip`);
  const fresh = event.clip === batch.nextFresh;
  if (fresh) batch.nextFresh += 1;
  else assert(batch.waiting.delete(event.clip), `clip ${event.clip} is leased and does not wait`);
  const clip = batch.clips.get(event.clip) ?? newClip(event.clip);
  assert(event.attempt === clip.attempt + 1, `attempt ${event.attempt} follows ${clip.attempt}`);
  const { at, type: _, ...lease } = event;
  clip.attempt = event.attempt;
  clip.lease = { ...lease, grantedAt: at, started: false };
  clip.backingOff = false;
  clip.changedAt = state.sequence;
  batch.clips.set(clip.index, clip);
  batch.clipsLeased += 1;
  state.leases.set(clipKey(batch.id, clip.index), clip.lease);
}

function lose(state: State, event: AttemptLost): void {
  const { batch, clip } = holderOf(state, event);
  release(state, batch, clip);
  clip.interruptions += 1;
  clip.retryAt = event.retryAt;
  clip.changedAt = state.sequence;
  batch.waiting.add(clip.index);
}

function fail(state: State, event: AttemptFailed): void {
  const { batch, clip, lease } = holderOf(state, event);
  release(state, batch, clip);
  clip.failures += 1;
  clip.failure = event.failure;
  clip.outOfMemory ||= event.failure.code === "OUT_OF_MEMORY";
  clip.retryAt = event.retryAt;
  clip.backingOff = true;
  clip.memoryBytesAbove = Math.max(clip.memoryBytesAbove, event.memoryBytesAbove);
  if (!clip.failedOn.includes(lease.worker)) clip.failedOn.push(lease.worker);
  clip.changedAt = state.sequence;
  batch.waiting.add(clip.index);
  batch.lastFailure = event.failure;
  const failures = batch.failuresByWorker.get(lease.worker) ?? 0;
  batch.failuresByWorker.set(lease.worker, failures + 1);
}

function publish(state: State, event: ClipPublished): void {
  const { batch, clip, lease } = holderOf(state, event);
  release(state, batch, clip);
  const { attempt, artifacts, totals } = event;
  const { worker, device } = lease;
  const seconds = (event.at - lease.grantedAt) / 1000;
  clip.publication = { attempt, worker, device, seconds, artifacts, totals };
  clip.changedAt = state.sequence;
  batch.clipsPublished += 1;
  learnSpeed(state, lease.kind, batch.plan.flops, seconds);
  endIfDone(state, batch);
}

function failClip(state: State, event: ClipFailed): void {
  const batch = batchOf(state, event.batch);
  if (event.clip === batch.nextFresh) batch.nextFresh += 1;
  else assert(batch.waiting.delete(event.clip), `clip ${event.clip} fails and does not wait`);
  const clip = batch.clips.get(event.clip) ?? newClip(event.clip);
  batch.clips.set(clip.index, clip);
  clip.failed = true;
  clip.failure = event.failure;
  clip.changedAt = state.sequence;
  batch.clipsFailed += 1;
  endIfDone(state, batch);
}

function release(state: State, batch: Batch, clip: Clip): void {
  clip.lease = null;
  batch.clipsLeased -= 1;
  state.leases.delete(clipKey(batch.id, clip.index));
}

function endIfDone(state: State, batch: Batch): void {
  if (batch.clipsPublished + batch.clipsFailed === batch.clipsTotal) end(state, batch);
}

function end(state: State, batch: Batch): void {
  batch.endedAt = state.at;
  batch.changedAt = state.sequence;
  queueOf(state, batch).delete(batch.id);
  const unfinished = state.queues.reduce((sum, queue) => sum + queue.size, 0);
  let surplus = state.batches.size - unfinished - endedBatchesMax;
  for (const [id, { endedAt }] of state.batches) {
    if (surplus <= 0) return;
    if (endedAt === null) continue;
    state.batches.delete(id);
    surplus -= 1;
  }
}

function learnSpeed(state: State, kind: string, flops: number, seconds: number): void {
  if (seconds <= 0) return;
  const speed = flops / seconds;
  const known = state.speeds.get(kind);
  const learnt = known === undefined ? speed : known + speedWeight * (speed - known);
  state.speeds.set(kind, learnt);
}

function holderOf(
  state: State,
  ref: AttemptRef,
): { readonly batch: Batch; readonly clip: Clip; readonly lease: Lease } {
  const name = `${clipKey(ref.batch, ref.clip)}/${ref.attempt}`;
  const lease = present(heldLease(state, ref), `attempt ${name} holds no lease`);
  const batch = batchOf(state, ref.batch);
  return { batch, lease, clip: present(batch.clips.get(ref.clip), `clip of ${name}`) };
}

function batchOf(state: State, id: string): Batch {
  return present(state.batches.get(id), `there is no batch ${id}`);
}

function queueOf(state: State, batch: Batch): Map<string, Batch> {
  return present(state.queues[batch.priority], `there is no tier ${batch.priority}`);
}
