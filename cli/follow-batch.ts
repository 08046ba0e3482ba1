// Follows a batch to its end: progress for a person, and each clip's files as it is published.
import { FarmError } from "../common/errors.js";
import type { Batch, Clip } from "../proto/gen/tocafarm/v1/farm.js";
import { BatchTracker, type ClipChange } from "./batch-tracker.js";
import { type ClipFileOptions, fetchClip, fetchPreview } from "./clip-files.js";
import type { FarmClient } from "./farm-client.js";
import { ProgressView } from "./progress.js";

export type FetchOptions = ClipFileOptions;

export interface FollowOptions {
  readonly client: FarmClient;
  readonly batch: Batch;
  /** Absent: nothing is fetched. */
  readonly files?: FetchOptions;
  /** Fetches a published clip in a way of its own, instead of `files`; resolves to its path. */
  readonly bring?: (clip: Clip) => Promise<string>;
  readonly quiet: boolean;
  /** Whether an interrupt cancels the batch, or only ends the watching. */
  readonly cancelOnAbort: boolean;
  readonly signal: AbortSignal;
}

export interface BatchOutcome {
  readonly tracker: BatchTracker;
  /** Path of each fetched video or image, by clip index, in its order. */
  readonly fetched: ReadonlyMap<number, string>;
}

/**
 * Resolves when the batch has ended and its files are there, or when all that is left of it waits
 * for a verdict and its previews are there. Throws the signal's reason on abort.
 */
export async function followBatch(options: FollowOptions): Promise<BatchOutcome> {
  try {
    return await follow(options);
  } catch (thrown) {
    if (options.signal.aborted && options.cancelOnAbort) await cancelQuietly(options);
    throw options.signal.aborted ? options.signal.reason : thrown;
  }
}

async function follow(options: FollowOptions): Promise<BatchOutcome> {
  const { client, batch, files, bring, quiet, signal } = options;
  const tracker = new BatchTracker(batch);
  const view = quiet ? null : new ProgressView(process.stderr);
  const fetched = new Map<number, string>();
  for await (const message of client.watch(batch.id, signal)) {
    const changes = tracker.take(message);
    view?.update(tracker, changes);
    for (const { clip, before } of changes) {
      if (files !== undefined) await fetchNew({ client, tracker, fetched, files, clip, before });
      const isNew = clip.state === "CLIP_STATE_PUBLISHED" && !fetched.has(clip.index);
      if (bring !== undefined && isNew) fetched.set(clip.index, await bring(clip));
    }
    const isWhole = message.sequence > 0n;
    if (isWhole && tracker.awaitsApproval) break;
  }
  if (!tracker.ended && !tracker.awaitsApproval) {
    throw new FarmError("UNAVAILABLE", `the watch of batch ${batch.id} ended before the batch`);
  }
  return { tracker, fetched: new Map([...fetched].sort(([a], [b]) => a - b)) };
}

interface Fetching extends ClipChange {
  readonly client: FarmClient;
  readonly tracker: BatchTracker;
  readonly fetched: Map<number, string>;
  readonly files: FetchOptions;
}

/** Brings what has just been published of a clip: its files, or its preview. */
async function fetchNew(change: Fetching): Promise<void> {
  const { client, tracker, fetched, files, clip, before } = change;
  if (clip.state === "CLIP_STATE_PUBLISHED" && !fetched.has(clip.index)) {
    const { clipsTotal } = tracker.batch;
    fetched.set(clip.index, await fetchClip(client, clip, { ...files, clipsTotal }));
  }
  if (clip.state === "CLIP_STATE_AWAITING_APPROVAL" && before?.state !== clip.state) {
    await fetchPreview(client, clip, files);
  }
}

// Whoever pressed Ctrl-C does not wait for a farm that is gone.
const cancelMsMax = 2_000;

/** The batch of a command that was interrupted: whoever waits for it is gone. */
async function cancelQuietly({ client, batch }: FollowOptions): Promise<void> {
  try {
    await client.cancel(batch.id, AbortSignal.timeout(cancelMsMax));
  } catch {
    // It has ended already, or the farm is going down with it.
  }
}
