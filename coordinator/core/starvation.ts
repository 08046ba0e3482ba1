// Clips that nobody who is left may run fail, with the reason of the last failure: an answer,
// rather than a wait without end. While nobody is there at all, somebody may come. A quarantined
// device is somebody as long as it has canaries left.

import type { Known } from "./liveness.js";
import { countRunners, someRunner } from "./runners.js";
import type { Batch } from "./state.js";
import { eventsPerTurnMax, isFull, type Sweep, shortReason } from "./sweep.js";

export function failStarved(sweep: Sweep): void {
  const { known } = sweep;
  for (const id of known.live.troubled) {
    if (isFull(sweep)) return;
    const batch = known.state.unfinished.get(id);
    if (!batch || batch.failuresByWorker.size === 0) known.live.troubled.delete(id);
    else if (!batch.paused) failStarvedOf(sweep, batch);
  }
}

function failStarvedOf(sweep: Sweep, batch: Batch): void {
  const { known, now } = sweep;
  const runners = countRunners(known, batch);
  if (runners === 0) return;
  for (const clip of firstOf(starvedClips(known, batch), eventsPerTurnMax)) {
    if (isFull(sweep)) return;
    const last = batch.clips.get(clip)?.failure ?? batch.lastFailure;
    const reason = shortReason(last?.message ?? "none");
    const failure = {
      code: last?.code ?? "FAILED_PRECONDITION",
      message: `none of ${runners} devices may run it any more; last failure: ${reason}`,
    };
    sweep.record({ type: "ClipFailed", at: now, batch: batch.id, clip, failure });
  }
}

function* starvedClips(known: Known, batch: Batch): Generator<number> {
  const anybody = someRunner(known, batch, { memoryBytesAbove: 0, failedOn: [] });
  if (anybody) {
    for (const bucket of known.live.queue.work(batch.id)?.ready.buckets.values() ?? []) {
      const { memoryBytesAbove } = bucket;
      if (memoryBytesAbove === 0) continue;
      if (!someRunner(known, batch, { memoryBytesAbove, failedOn: [] })) yield* bucket.clips;
    }
    return;
  }
  yield* batch.waiting;
  for (let clip = batch.nextFresh; clip < batch.clipsTotal; clip++) {
    if (!batch.clips.has(clip)) yield clip;
  }
}

function firstOf(clips: Iterable<number>, max: number): readonly number[] {
  const taken: number[] = [];
  for (const clip of clips) {
    if (taken.length >= max) break;
    taken.push(clip);
  }
  return taken;
}
