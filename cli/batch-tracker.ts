// What a watch has told so far: the batch and every clip by its index.
import type { Batch, Clip, WatchBatchResponse } from "../proto/gen/tocafarm/v1/farm.js";

export class BatchTracker {
  readonly #clips = new Map<number, Clip>();
  #batch: Batch;

  constructor(batch: Batch) {
    this.#batch = batch;
  }

  get batch(): Batch {
    return this.#batch;
  }

  /** In the order of the prompts. */
  get clips(): readonly Clip[] {
    return [...this.#clips.values()].sort((a, b) => a.index - b.index);
  }

  get ended(): boolean {
    return isEnded(this.#batch);
  }

  /** Nothing happens any more until somebody gives a verdict on previews. */
  get awaitsApproval(): boolean {
    return this.#batch.state === "BATCH_STATE_AWAITING_APPROVAL";
  }

  /** Takes a message; returns the clips that changed, each with what it was before. */
  take(message: WatchBatchResponse): readonly ClipChange[] {
    if (message.batch) this.#batch = message.batch;
    return message.clips.map((clip) => {
      const before = this.#clips.get(clip.index);
      this.#clips.set(clip.index, clip);
      return { clip, before };
    });
  }
}

export interface ClipChange {
  readonly clip: Clip;
  readonly before: Clip | undefined;
}

export function isEnded({ state }: Batch): boolean {
  return (
    state === "BATCH_STATE_SUCCEEDED" ||
    state === "BATCH_STATE_FAILED" ||
    state === "BATCH_STATE_CANCELLED"
  );
}

/** "succeeded" of BATCH_STATE_SUCCEEDED, "retry wait" of CLIP_STATE_RETRY_WAIT. */
export function stateWord(state: string): string {
  return state
    .replace(/^[A-Z]+_(?:STATE|DETAIL)_/, "")
    .toLowerCase()
    .replaceAll("_", " ");
}

/** Tokens that came from the cache and tokens that passed. */
export function tokensOf({ totals }: Clip): { readonly reused: number; readonly passed: number } {
  const reused = Number(totals?.tokensReused ?? 0n);
  return { reused, passed: reused + Number(totals?.tokensComputed ?? 0n) };
}
