// The part of the fold that is about what users ask: batches accepted, cancelled, paused and moved,
// clips retried, skipped, promoted and approved. Ranges name exactly the clips that change.

import { assert, unreachable } from "../../common/assert.js";
import { placesIn } from "./clip-ranges.js";
import type {
  BatchAccepted,
  BatchCancelled,
  BatchMoved,
  BatchPaused,
  BatchResumed,
  ClipRanges,
  ClipsApproved,
  ClipsPromoted,
  ClipsRetried,
  ClipsSkipped,
  PrioritySet,
} from "./events.js";
import {
  awaitVerdict,
  batchOf,
  clearTroubles,
  count,
  countLeft,
  dequeue,
  end,
  endIfDone,
  enqueue,
  open,
  recordOf,
  release,
} from "./queueing.js";
import { type Batch, type Clip, clipsQueued, newBatch, type State } from "./state.js";

/** A repeated submission is recognised for this long, or until this many came after it. */
export const submissionsKeptMs = 7 * 24 * 3600 * 1000;
const submissionsMax = 500_000;

export type VerbEvent =
  | BatchAccepted
  | BatchCancelled
  | BatchPaused
  | BatchResumed
  | PrioritySet
  | BatchMoved
  | ClipsRetried
  | ClipsSkipped
  | ClipsPromoted
  | ClipsApproved;

export function applyVerb(state: State, event: VerbEvent): void {
  switch (event.type) {
    case "BatchAccepted":
      accept(state, event);
      return;
    case "BatchCancelled":
      cancel(state, event);
      return;
    case "BatchPaused":
      unfinished(state, event.batch).paused = true;
      return;
    case "BatchResumed":
      resume(state, event);
      return;
    case "PrioritySet":
      setPriority(state, event);
      return;
    case "BatchMoved":
      move(state, event);
      return;
    case "ClipsRetried":
      retry(state, event);
      return;
    case "ClipsSkipped":
      skip(state, event);
      return;
    case "ClipsPromoted":
      promote(state, event);
      return;
    case "ClipsApproved":
      approve(state, event);
      return;
    default:
      unreachable(event);
  }
}

function accept(state: State, event: BatchAccepted): void {
  assert(!state.batches.has(event.batch), `batch ${event.batch} is accepted twice`);
  const batch = newBatch(event, state.batchesAccepted, state.sequence);
  state.batchesAccepted += 1;
  state.batches.set(batch.id, batch);
  open(state, batch);
  count(state, batch, batch.clipsFresh);
  for (const [key, submission] of state.submissions) {
    const young = submission.at > event.at - submissionsKeptMs;
    if (young && state.submissions.size < submissionsMax) break; // oldest first
    state.submissions.delete(key);
  }
  if (event.idempotencyKey !== "") {
    const { bodySha256, at } = event;
    state.submissions.delete(event.idempotencyKey); // so that the map stays in the order of time
    state.submissions.set(event.idempotencyKey, { batch: batch.id, bodySha256, at });
  }
}

function cancel(state: State, event: BatchCancelled): void {
  const batch = unfinished(state, event.batch);
  count(state, batch, -clipsQueued(batch));
  batch.cancelled = true;
  batch.changedAt = state.sequence;
  batch.waiting.clear();
  batch.promoted.clear();
  batch.clipsFresh = 0;
  batch.clipsAwaitingApproval = 0;
  for (const clip of batch.clips.values()) {
    if (clip.lease) release(state, batch, clip);
    if (clip.publication || clip.end) continue;
    clip.awaitingApproval = false;
    clip.checkpoint = null;
    clip.changedAt = state.sequence;
  }
  end(state, batch);
}

function resume(state: State, event: BatchResumed): void {
  const batch = unfinished(state, event.batch);
  batch.paused = false;
  batch.waitingSince = state.at;
}

function setPriority(state: State, event: PrioritySet): void {
  const batch = unfinished(state, event.batch);
  batch.priority = event.priority;
  batch.waitingSince = state.at;
  for (const index of batch.leased) {
    const lease = batch.clips.get(index)?.lease;
    if (lease) lease.tier = event.priority;
  }
}

function move(state: State, event: BatchMoved): void {
  const batch = unfinished(state, event.batch);
  if (event.place === "first") state.rankFirst -= 1;
  else state.rankLast += 1;
  batch.rank = event.place === "first" ? state.rankFirst : state.rankLast;
}

function retry(state: State, event: ClipsRetried): void {
  const batch = batchOf(state, event.batch);
  assert(!batch.cancelled, `clips of ${batch.id} are retried, which was cancelled`);
  if (batch.endedAt !== null) open(state, batch);
  batch.failuresByWorker.clear();
  for (const clip of clipsIn(batch, event.clips)) {
    assert(clip.end !== null, `clip ${clip.index} of ${batch.id} is retried and has not ended`);
    if (clip.end === "failed") batch.clipsFailed -= 1;
    else batch.clipsSkipped -= 1;
    if (clip.end === "rejected") {
      clip.previewing = true;
      clip.preview = null;
    }
    clip.end = null;
    clip.interruptions = 0;
    clearTroubles(clip);
    countLeft(batch, clip, 1);
    clip.changedAt = state.sequence;
    if (clip.preview === null || clip.approved) enqueue(state, batch, clip);
    else awaitVerdict(batch, clip); // it was skipped before there was one
  }
}

function skip(state: State, event: ClipsSkipped): void {
  const batch = unfinished(state, event.batch);
  for (const clip of clipsIn(batch, event.clips)) {
    assert(!clip.publication && !clip.end, `clip ${clip.index} of ${batch.id} has ended`);
    if (clip.lease) release(state, batch, clip);
    else if (clip.awaitingApproval) batch.clipsAwaitingApproval -= 1;
    else dequeue(state, batch, clip);
    clip.awaitingApproval = false;
    clip.backingOff = false;
    clip.checkpoint = null;
    clip.end = event.reason;
    clip.changedAt = state.sequence;
    batch.clipsSkipped += 1;
    countLeft(batch, clip, -1);
  }
  endIfDone(state, batch);
}

function promote(state: State, event: ClipsPromoted): void {
  const batch = unfinished(state, event.batch);
  const first = new Set<number>();
  for (const { index } of clipsIn(batch, event.clips)) first.add(index);
  for (const index of batch.promoted) first.add(index);
  batch.promoted = first;
}

function approve(state: State, event: ClipsApproved): void {
  const batch = unfinished(state, event.batch);
  for (const clip of clipsIn(batch, event.clips)) {
    assert(clip.awaitingApproval, `clip ${clip.index} of ${batch.id} waits for no verdict`);
    clip.awaitingApproval = false;
    clip.approved = true;
    batch.clipsAwaitingApproval -= 1;
    clip.changedAt = state.sequence;
    enqueue(state, batch, clip);
  }
}

function unfinished(state: State, id: string): Batch {
  const batch = batchOf(state, id);
  assert(batch.endedAt === null, `something happens to batch ${id} after its end`);
  return batch;
}

function* clipsIn(batch: Batch, ranges: ClipRanges): Generator<Clip> {
  for (const index of placesIn(ranges)) yield recordOf(batch, index);
}
