// The clips of one batch that may be leased now, besides the fresh ones: those that came back, in
// buckets by what they ask of a device. A device is held against a bucket, never against each clip
// in it.

import type { Clip } from "./state.js";

/** Clips that the same devices may run. */
export interface Bucket {
  readonly key: string;
  readonly memoryBytesAbove: number;
  readonly failedOn: readonly string[];
  /** Kind of device on which they need not begin anew; "" = they begin anywhere. */
  readonly checkpointKind: string;
  /** In the order in which they came. */
  readonly clips: Set<number>;
}

export class ReadyClips {
  readonly buckets = new Map<string, Bucket>();
  readonly #bucketOf = new Map<number, Bucket>();
  /** By the worker of the newest attempt, where the prompt may still be encoded. */
  readonly #byWorker = new Map<string, Set<number>>();
  readonly #workerOf = new Map<number, string>();

  get size(): number {
    return this.#bucketOf.size;
  }

  bucketOf(index: number): Bucket | undefined {
    return this.#bucketOf.get(index);
  }

  /** Clips whose newest attempt was on this worker. */
  of(worker: string): Iterable<number> {
    return this.#byWorker.get(worker) ?? [];
  }

  add(clip: Clip): void {
    this.delete(clip.index);
    const key = bucketKey(clip);
    const bucket = this.buckets.get(key) ?? newBucket(key, clip);
    bucket.clips.add(clip.index);
    this.buckets.set(key, bucket);
    this.#bucketOf.set(clip.index, bucket);
    if (clip.worker === "") return;
    const there = this.#byWorker.get(clip.worker) ?? new Set();
    there.add(clip.index);
    this.#byWorker.set(clip.worker, there);
    this.#workerOf.set(clip.index, clip.worker);
  }

  delete(index: number): void {
    const bucket = this.#bucketOf.get(index);
    if (!bucket) return;
    bucket.clips.delete(index);
    if (bucket.clips.size === 0) this.buckets.delete(bucket.key);
    this.#bucketOf.delete(index);
    const worker = this.#workerOf.get(index);
    if (worker === undefined) return;
    const there = this.#byWorker.get(worker);
    there?.delete(index);
    if (there?.size === 0) this.#byWorker.delete(worker);
    this.#workerOf.delete(index);
  }
}

function bucketKey({ memoryBytesAbove, failedOn, checkpoint }: Clip): string {
  if (memoryBytesAbove === 0 && failedOn.length === 0 && !checkpoint) return "";
  return `${memoryBytesAbove}\n${failedOn.join()}\n${checkpoint?.kind ?? ""}`;
}

function newBucket(key: string, { memoryBytesAbove, failedOn, checkpoint }: Clip): Bucket {
  const checkpointKind = checkpoint?.kind ?? "";
  return { key, memoryBytesAbove, failedOn, checkpointKind, clips: new Set() };
}
