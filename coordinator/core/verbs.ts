// What users ask of batches and clips that are there. A verb that comes twice is as good as once;
// clips that it cannot change are not counted; what the batch's state forbids is refused with what
// to do instead.

import { overload, refuse } from "./admission.js";
import { handBack, revokeWaiting, stop } from "./attempts.js";
import { countOf, placesIn, rangesError, rangesMax, rangesWhere } from "./clip-ranges.js";
import { type Decision, nothing } from "./commands.js";
import type { ClipRanges } from "./events.js";
import type { Known } from "./liveness.js";
import { type ClipPhase, phaseOf } from "./phases.js";
import { type Batch, type Lease, tiers } from "./state.js";

interface Ask {
  readonly batch: string;
}

interface AskClips extends Ask {
  readonly clips: ClipRanges;
}

export function cancel(known: Known, id: string, now: number): Decision {
  const batch = known.state.batches.get(id);
  if (!batch) return unknown(id);
  if (batch.endedAt !== null) return { ...nothing, batch: id };
  const effects = leasesOf(batch).map((lease) => stop(lease, "cancelled"));
  const { clipsTotal, clipsPublished, clipsFailed, clipsSkipped } = batch;
  const clipsChanged = clipsTotal - clipsPublished - clipsFailed - clipsSkipped;
  const events = [{ type: "BatchCancelled", at: now, batch: id }] as const;
  return { ...nothing, events, effects, batch: id, clipsChanged };
}

export function pause(
  known: Known,
  { batch: id, cutRunning }: Ask & { readonly cutRunning: boolean },
  now: number,
): Decision {
  return withUnfinished(known, id, "paused", (batch) => {
    const leases = leasesOf(batch);
    const { events, effects } = cutRunning
      ? handBack(known, leases, "paused", now)
      : revokeWaiting(known, leases, now);
    const paused = { type: "BatchPaused", at: now, batch: id } as const;
    return { ...nothing, events: batch.paused ? events : [paused, ...events], effects, batch: id };
  });
}

export function resume(known: Known, id: string, now: number): Decision {
  return withUnfinished(known, id, "resumed", ({ paused }) => {
    const events = paused ? [{ type: "BatchResumed", at: now, batch: id } as const] : [];
    return { ...nothing, events, batch: id };
  });
}

export function setPriority(
  known: Known,
  { batch: id, priority }: Ask & { readonly priority: number },
  now: number,
): Decision {
  if (!Number.isInteger(priority) || priority < 0 || priority >= tiers) {
    return refuse("INVALID_ARGUMENT", `priority is ${priority}; 0 (first) to ${tiers - 1} exist`);
  }
  return withUnfinished(known, id, "given another priority", (batch) => {
    const event = { type: "PrioritySet", at: now, batch: id, priority } as const;
    return { ...nothing, events: batch.priority === priority ? [] : [event], batch: id };
  });
}

export function move(
  known: Known,
  { batch: id, place }: Ask & { readonly place: "first" | "last" },
  now: number,
): Decision {
  return withUnfinished(known, id, "moved", () => {
    const event = { type: "BatchMoved", at: now, batch: id, place } as const;
    return { ...nothing, events: [event], batch: id };
  });
}

/** Clips that failed, were skipped or rejected wait again; the batch goes on if it had ended. */
export function retry(known: Known, { batch: id, clips }: AskClips, now: number): Decision {
  const batch = known.state.batches.get(id);
  if (!batch) return unknown(id);
  if (batch.cancelled) return over(batch, "retried");
  const which: readonly ClipPhase[] =
    clips.length === 0 ? ["failed"] : ["failed", "skipped", "rejected"];
  return withClips(batch, clips, which, (ranges) => {
    const ended = batch.endedAt !== null;
    const more = {
      batches: ended ? 1 : 0,
      held: ended ? batch.clipsTotal : 0,
      queued: countOf(ranges),
    };
    const full = overload(known, batch.tenant, more);
    if (full) return full;
    return { ...nothing, events: [{ type: "ClipsRetried", at: now, batch: id, clips: ranges }] };
  });
}

export function skip(known: Known, { batch: id, clips }: AskClips, now: number): Decision {
  if (clips.length === 0) return refuse("INVALID_ARGUMENT", "no clips are named; name some");
  return withUnfinished(known, id, "changed", (batch) =>
    withClips(batch, clips, [...waitingPhases, ...leasedPhases, "awaiting_approval"], (ranges) => {
      const skipped = new Set(placesIn(ranges));
      const effects = leasesOf(batch)
        .filter((lease) => skipped.has(lease.clip))
        .map((lease) => stop(lease, "skipped"));
      const reason = "skipped" as const;
      const event = { type: "ClipsSkipped", at: now, batch: id, clips: ranges, reason } as const;
      return { ...nothing, events: [event], effects };
    }),
  );
}

export function promote(known: Known, { batch: id, clips }: AskClips, now: number): Decision {
  if (clips.length === 0) return refuse("INVALID_ARGUMENT", "no clips are named; name some");
  return withUnfinished(known, id, "changed", (batch) =>
    withClips(batch, clips, waitingPhases, (ranges) => {
      const event = { type: "ClipsPromoted", at: now, batch: id, clips: ranges } as const;
      return { ...nothing, events: [event] };
    }),
  );
}

export function approve(known: Known, { batch: id, clips }: AskClips, now: number): Decision {
  return withPreviews(known, id, (batch) =>
    withClips(batch, clips, ["awaiting_approval"], (ranges) => {
      return { ...nothing, events: [{ type: "ClipsApproved", at: now, batch: id, clips: ranges }] };
    }),
  );
}

export function reject(known: Known, { batch: id, clips }: AskClips, now: number): Decision {
  if (clips.length === 0) return refuse("INVALID_ARGUMENT", "no clips are named; name some");
  return withPreviews(known, id, (batch) =>
    withClips(batch, clips, ["awaiting_approval"], (ranges) => {
      const reason = "rejected" as const;
      const event = { type: "ClipsSkipped", at: now, batch: id, clips: ranges, reason } as const;
      return { ...nothing, events: [event] };
    }),
  );
}

const waitingPhases: readonly ClipPhase[] = ["queued", "retry_wait"];
const leasedPhases: readonly ClipPhase[] = ["leased", "running"];

/** The verb on those of the named clips that are in one of the phases; all of them for no name. */
function withClips(
  batch: Batch,
  asked: ClipRanges,
  phases: readonly ClipPhase[],
  then: (ranges: ClipRanges) => Decision,
): Decision {
  const error = rangesError(asked, batch.clipsTotal);
  if (error !== null) return refuse("INVALID_ARGUMENT", error);
  const all: ClipRanges = [[0, batch.clipsTotal - 1]];
  const ranges = rangesWhere(asked.length > 0 ? asked : all, (clip) =>
    phases.includes(phaseOf(batch, batch.clips.get(clip))),
  );
  if (ranges.length === 0) return { ...nothing, batch: batch.id };
  if (ranges.length > rangesMax) {
    const message = `the clips lie in ${ranges.length} ranges, ${rangesMax} go at once; name fewer`;
    return refuse("INVALID_ARGUMENT", message);
  }
  const decision = then(ranges);
  if (decision.refusal) return decision;
  return { ...decision, batch: batch.id, clipsChanged: countOf(ranges) };
}

function withPreviews(known: Known, id: string, then: (batch: Batch) => Decision): Decision {
  return withUnfinished(known, id, "judged", (batch) => {
    if (batch.preview) return then(batch);
    const message = `batch ${id} has no previews; submit with one to judge clips first`;
    return refuse("FAILED_PRECONDITION", message);
  });
}

function withUnfinished(
  known: Known,
  id: string,
  done: string,
  then: (batch: Batch) => Decision,
): Decision {
  const batch = known.state.batches.get(id);
  if (!batch) return unknown(id);
  return batch.endedAt === null ? then(batch) : over(batch, done);
}

function unknown(id: string): Decision {
  return refuse("NOT_FOUND", `there is no batch ${id}; ListBatches names those there are`);
}

function over({ id, cancelled }: Batch, done: string): Decision {
  const message = cancelled
    ? `batch ${id} was cancelled and cannot be ${done}; submit it again`
    : `batch ${id} has ended and cannot be ${done}; retry its failed clips, or submit another`;
  return refuse("FAILED_PRECONDITION", message);
}

/** Live leases of a batch. */
function leasesOf(batch: Batch): readonly Lease[] {
  return [...batch.leased].flatMap((index) => batch.clips.get(index)?.lease ?? []);
}
