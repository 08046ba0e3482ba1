// Which files of the artifact store are in nobody's way any more. What a published clip, a preview
// or a live attempt needs stays, and so does everything that this log says nothing of: clips of
// batches that it has forgotten, or of another pool that shares the store. Blobs stay, too: another
// batch may name the same one at any time.

import { clipId } from "../common/ids.js";
import type { AttemptRef } from "./core/events.js";
import type { Batch, Clip, State } from "./core/state.js";
import type { ArtifactHead } from "./ports.js";

/** Time in which a file that the log does not name may still come to be named. */
export const orphanAgeMs = 24 * 3600 * 1000;

const clipPattern = /^clips\/(b\w{12})\.(\d{6})\/(\d+)\/./;
const checkpointPattern = /^checkpoints\/(b\w{12})\.(\d{6})\/(\d+)-(\d+)\.safetensors$/;

interface CheckpointRef extends AttemptRef {
  readonly step: number;
}

/** Whether a file of an attempt or a checkpoint is needed no longer, whatever its age. */
export function isLeftover(state: State, key: string): boolean {
  const file = attemptOf(key);
  if (file) return isLost(state, file);
  const checkpoint = checkpointOf(key);
  return checkpoint !== null && isSuperseded(state, key, checkpoint);
}

/** Whether a sweep removes the file now. */
export function isOrphan(state: State, { key, modifiedAtMs }: ArtifactHead, now: number): boolean {
  return now - modifiedAtMs >= orphanAgeMs && isLeftover(state, key);
}

/** Every attempt that the log has leased and that is neither at work nor kept. */
function isLost(state: State, ref: AttemptRef): boolean {
  const clip = recordOf(state, ref);
  if (!clip || ref.attempt > clip.attempt) return false;
  const kept = [clip.publication, clip.preview, ...clip.segmentsDone];
  if (kept.some((files) => files?.attempt === ref.attempt)) return false;
  return clip.lease?.attempt !== ref.attempt;
}

function isSuperseded(state: State, key: string, ref: CheckpointRef): boolean {
  const clip = recordOf(state, ref);
  const batch = state.batches.get(ref.batch);
  if (!clip || !batch || ref.attempt > clip.attempt) return false;
  if (hasEnded(batch, clip)) return true;
  const newest = clip.checkpoint?.artifact.key;
  if (key === newest) return false;
  if (ref.attempt !== clip.lease?.attempt) return true;
  // Of the attempt at work: a later one may be stored and on its way into the log.
  const stored = newest === undefined ? null : checkpointOf(newest);
  return stored?.attempt === ref.attempt && ref.step < stored.step;
}

function hasEnded(batch: Batch, clip: Clip): boolean {
  return clip.publication !== null || clip.end !== null || batch.endedAt !== null;
}

function recordOf(state: State, { batch, clip }: AttemptRef): Clip | undefined {
  return state.batches.get(batch)?.clips.get(clip);
}

function attemptOf(key: string): AttemptRef | null {
  const [, batch = "", clip, attempt] = clipPattern.exec(key) ?? [];
  return batch === "" ? null : { batch, clip: Number(clip), attempt: Number(attempt) };
}

function checkpointOf(key: string): CheckpointRef | null {
  const [, batch = "", clip, attempt, step] = checkpointPattern.exec(key) ?? [];
  if (batch === "") return null;
  return { batch, clip: Number(clip), attempt: Number(attempt), step: Number(step) };
}

/** The newest checkpoint of every clip that works on something, by clip id. */
export function checkpointsOf(state: State): Map<string, string> {
  const keys = new Map<string, string>();
  for (const batch of state.unfinished.values()) {
    for (const clip of batch.clips.values()) {
      if (clip.checkpoint) keys.set(clipId(batch.id, clip.index), clip.checkpoint.artifact.key);
    }
  }
  return keys;
}
