// Where a batch and a clip stand, as users see it: worked out from the record, never stored, so
// that no two fields can disagree.

import type { Batch, Clip } from "./state.js";

export type ClipPhase =
  | "queued"
  | "leased"
  | "running"
  | "retry_wait"
  | "awaiting_approval"
  | "published"
  | "failed"
  | "skipped"
  | "rejected"
  | "cancelled";

/** Where a clip stands; undefined stands for one that has no record. */
export function phaseOf(batch: Batch, clip: Clip | undefined): ClipPhase {
  if (clip?.publication) return "published";
  if (clip?.end) return clip.end;
  if (batch.cancelled) return "cancelled";
  if (clip?.lease) return clip.lease.started ? "running" : "leased";
  if (clip?.awaitingApproval) return "awaiting_approval";
  return clip?.backingOff ? "retry_wait" : "queued";
}

export type BatchPhase =
  | "queued"
  | "active"
  | "paused"
  | "awaiting_approval"
  | "succeeded"
  | "failed"
  | "cancelled";

/** A batch that waits for verdicts alone is awaiting_approval. */
export function batchPhaseOf(batch: Batch): BatchPhase {
  if (batch.cancelled) return "cancelled";
  if (batch.endedAt !== null) return batch.clipsFailed > 0 ? "failed" : "succeeded";
  if (batch.paused) return "paused";
  const busy = batch.clipsFresh + batch.waiting.size + batch.leased.size > 0;
  if (!busy && batch.clipsAwaitingApproval > 0) return "awaiting_approval";
  return batch.begun ? "active" : "queued";
}
