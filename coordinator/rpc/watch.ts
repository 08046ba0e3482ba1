// WatchBatch: what changed of a batch, from a log sequence on. A watcher keeps the set of changed
// clips, not their history, so a slow reader costs no memory: when it is ready for more, it gets
// the newest state of each clip that changed meanwhile.

import { sleep } from "../../common/clock.js";
import { FarmError } from "../../common/errors.js";
import type { Send } from "../../common/rpc.js";
import type { WatchBatchRequest, WatchBatchResponse } from "../../proto/gen/tocafarm/v1/farm.js";
import type { ClipRanges, FarmEvent } from "../core/events.js";
import type { Farm } from "../core/farm.js";
import type { FarmPort, PromptStore, Turn } from "../ports.js";
import {
  batchOf,
  type Legible,
  legible,
  promptCharactersMax,
  withWarnings,
} from "./batch-reads.js";
import { toClipMessage } from "./convert.js";
import type { Outlook } from "./outlook.js";

/** Clips of one message: about 1 MB with prompts of some length. */
const clipsPerMessageMax = 500;

/** At most five messages a second tell of progress. */
const gapMs = 200;

export interface WatchOptions {
  readonly farm: FarmPort;
  readonly outlook: Outlook;
  readonly prompts: PromptStore;
  readonly request: WatchBatchRequest;
  readonly send: Send<WatchBatchResponse>;
  /** Aborts when the reader is gone or the coordinator stops. */
  readonly signal: AbortSignal;
}

/**
 * Sends changes until the batch has ended. Throws NOT_FOUND, INVALID_ARGUMENT, or the signal's
 * reason.
 */
export async function watchBatch(options: WatchOptions): Promise<void> {
  const { farm, request, signal } = options;
  const changes = new Changes(request.batchId);
  const unsubscribe = farm.onTurn((turn) => changes.add(turn));
  try {
    const promptsKey = await farm.query((now) => begin(now, request, changes));
    const prompts = await legible(options.prompts, promptsKey);
    for (;;) {
      const ended = await sendChanges(options, changes, prompts);
      if (ended) return;
      await changes.next(signal);
      await sleep(gapMs, signal);
    }
  } finally {
    unsubscribe();
  }
}

/** Clips that changed since the reader heard of them. */
class Changes {
  readonly clips = new Set<number>();
  /** The batch as a whole changed, or was never sent. */
  whole = true;
  readonly #batch: string;
  #clipsTotal = 0;
  #wake: (() => void) | undefined;

  constructor(batch: string) {
    this.#batch = batch;
  }

  add({ events, commands }: Turn): void {
    for (const event of events) {
      if (!("batch" in event) || event.batch !== this.#batch) continue;
      this.whole = true;
      this.#addRanges(clipsOf(event) ?? this.#all());
    }
    for (const command of commands) {
      if (command.type !== "progress") continue;
      for (const { batch, clip } of command.attempts) {
        if (batch === this.#batch) this.clips.add(clip);
      }
    }
    if (this.whole || this.clips.size > 0) this.#wake?.();
  }

  begin(clipsTotal: number): void {
    this.#clipsTotal = clipsTotal;
  }

  addAll(): void {
    this.#addRanges(this.#all());
  }

  #all(): ClipRanges {
    return [[0, this.#clipsTotal - 1]];
  }

  #addRanges(ranges: ClipRanges): void {
    for (const [first, last] of ranges) {
      for (let index = first; index <= last; index++) this.clips.add(index);
    }
  }

  /** Resolves when there is something to send. */
  async next(signal: AbortSignal): Promise<void> {
    if (this.whole || this.clips.size > 0) return;
    await new Promise<void>((resolve, reject) => {
      const abort = () => reject(signal.reason);
      this.#wake = () => {
        signal.removeEventListener("abort", abort);
        resolve();
      };
      if (signal.aborted) abort();
      else signal.addEventListener("abort", abort, { once: true });
    });
    this.#wake = undefined;
  }
}

/** The clips that an event of their batch changes; null = all of them. */
function clipsOf(event: FarmEvent): ClipRanges | null {
  switch (event.type) {
    case "BatchCancelled":
      return null;
    case "ClipsRetried":
    case "ClipsSkipped":
    case "ClipsPromoted":
    case "ClipsApproved":
      return event.clips;
    default:
      return "clip" in event ? [[event.clip, event.clip]] : [];
  }
}

/** Marks what the reader does not know yet; resolves to the key of the prompts. */
function begin(now: Farm, request: WatchBatchRequest, changes: Changes): string {
  const { state } = now;
  const batch = batchOf(now, request.batchId);
  const after = Number(request.afterSequence);
  if (after > state.sequence) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `after_sequence is ${after}, the log stands at ${state.sequence}; watch from 0`,
    );
  }
  changes.begin(batch.clipsTotal);
  if (after === 0 || batch.changedAt > after) changes.addAll();
  for (const clip of batch.clips.values()) {
    if (clip.changedAt > after || clip.lease) changes.clips.add(clip.index);
  }
  return batch.promptsKey;
}

/**
 * Sends what changed, in messages of bounded size; true when the batch has ended and all of it was
 * sent.
 */
async function sendChanges(
  { farm, outlook, request, send }: WatchOptions,
  changes: Changes,
  { texts, warnings }: Legible,
): Promise<boolean> {
  for (;;) {
    const { message, done } = await farm.query((now) => {
      const { state, live } = now;
      const batch = batchOf(now, request.batchId);
      const taken = take(changes.clips, texts);
      const clips = taken.map((index) => toClipMessage(batch, index, live, texts));
      changes.whole = false;
      const message = {
        sequence: BigInt(state.sequence),
        batch: withWarnings(outlook.batch(now, batch), warnings),
        clips,
      };
      return { message, done: changes.clips.size === 0 };
    });
    // A sequence is a place to resume from: it is said only when everything up to it was sent.
    await send(done ? message : { ...message, sequence: 0n });
    if (done) return message.batch.endedAt !== undefined && !changes.whole;
  }
}

/** As many as one message takes. */
function take(clips: Set<number>, prompts: readonly string[]): number[] {
  const taken: number[] = [];
  let characters = 0;
  for (const index of clips) {
    if (taken.length === clipsPerMessageMax || characters >= promptCharactersMax) break;
    taken.push(index);
    clips.delete(index);
    characters += prompts[index]?.length ?? 0;
  }
  return taken;
}
