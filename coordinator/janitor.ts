// Removes what no reader will ever see: files of attempts that lost their clip, checkpoints that
// newer ones have replaced or whose work is done, and once an hour whatever crashes have left. One
// file at a time and at leisure; what is left behind is in nobody's way, since only the log says
// what counts.

import { setTimeout as delay } from "node:timers/promises";
import { asFarmError } from "../common/errors.js";
import { clipId } from "../common/ids.js";
import type { Log } from "../common/log.js";
import type { FarmEvent } from "./core/events.js";
import { checkpointsOf, isLeftover, isOrphan, orphanAgeMs } from "./leftovers.js";
import type { ArtifactHead, ArtifactStore, Life, Turn } from "./ports.js";

/** Removals that may wait; those beyond it are left to the sweep. */
const waitingMax = 10_000;

/** A coordinator that starts has better things to do at first. */
const firstSweepMs = 60_000;
const sweepEveryMs = 3_600_000;

/** The state is asked for so many files at a time, in one moment between two turns. */
const groupMax = 256;

export interface JanitorOptions {
  /** Of the leader. */
  readonly life: Pick<Life, "query" | "onTurn" | "now">;
  readonly store: ArtifactStore;
  readonly log: Log;
}

type Removal =
  | { readonly type: "file"; readonly key: string }
  /** Everything below it that is a leftover. */
  | { readonly type: "below"; readonly prefix: string };

/** Works until it is stopped. */
export function startJanitor(options: JanitorOptions): { stop(): Promise<void> } {
  const { life, log } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const waiting: Removal[] = [];
  const checkpoints = new Checkpoints();
  let working: Promise<void> | undefined;

  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next && !signal.aborted; next = waiting.shift()) {
      await remove(options, next).catch((thrown: unknown) => {
        log.warn({ err: asFarmError(thrown), ...next }, "leftover files could not be removed");
      });
    }
    working = undefined;
  };
  const unsubscribe = life.onTurn((turn) => {
    for (const removal of removalsOf(turn, checkpoints)) {
      if (waiting.length < waitingMax) waiting.push(removal);
    }
    if (waiting.length > 0) working ??= work();
  });
  const begun = life.query(({ state }) => checkpoints.learn(checkpointsOf(state))).catch(() => {});
  const sweeping = sweepAgainAndAgain(options, signal);
  return {
    stop: async () => {
      unsubscribe();
      stopping.abort();
      await Promise.all([begun, working, sweeping]);
    },
  };
}

/**
 * Removes what nobody needs and no log will name: files of attempts and checkpoints that are a day
 * old, and what uploads that never ended have left. Resolves to how many files it removed.
 */
export async function sweep(options: JanitorOptions, signal: AbortSignal): Promise<number> {
  const { life, store } = options;
  let removed = await store.sweepParts(orphanAgeMs);
  for (const prefix of ["clips/", "checkpoints/"]) {
    for await (const files of grouped(store.list(prefix))) {
      const now = life.now();
      const orphans = await life.query(({ state }) =>
        files.filter((file) => isOrphan(state, file, now)),
      );
      for (const { key } of orphans) {
        signal.throwIfAborted();
        await store.delete(key);
        removed += 1;
      }
    }
  }
  return removed;
}

async function sweepAgainAndAgain(options: JanitorOptions, signal: AbortSignal): Promise<void> {
  for (let waitMs = firstSweepMs; ; waitMs = sweepEveryMs) {
    try {
      await delay(waitMs, undefined, { signal, ref: false });
      const removed = await sweep(options, signal);
      if (removed > 0) options.log.info({ removed }, "orphaned files are removed");
    } catch (thrown) {
      if (signal.aborted) return;
      options.log.warn({ err: asFarmError(thrown) }, "the sweep of the store was not finished");
    }
  }
}

/** The newest checkpoint of each clip at work, so that the one before can go without a listing. */
class Checkpoints {
  readonly #keys = new Map<string, string>();

  /** What the log held before; what was stored meanwhile is newer. */
  learn(keys: ReadonlyMap<string, string>): void {
    for (const [clip, key] of keys) if (!this.#keys.has(clip)) this.#keys.set(clip, key);
  }

  /** The key that the new one replaces. */
  replace(clip: string, key: string): readonly string[] {
    const known = this.#keys.get(clip);
    this.#keys.set(clip, key);
    return known === undefined || known === key ? [] : [known];
  }

  /** Forgets these clips; returns their keys. */
  end(clips: readonly string[]): readonly string[] {
    return clips.flatMap((clip) => {
      const key = this.#keys.get(clip);
      this.#keys.delete(clip);
      return key === undefined ? [] : [key];
    });
  }

  /** Ids of the batch's clips that have one. */
  clipsOf(batch: string): readonly string[] {
    return [...this.#keys.keys()].filter((clip) => clip.startsWith(`${batch}.`));
  }
}

function removalsOf({ events, effects }: Turn, checkpoints: Checkpoints): Removal[] {
  const removals: Removal[] = [];
  for (const event of events) {
    for (const key of endedCheckpoints(event, checkpoints)) removals.push({ type: "file", key });
    const retried = event.type === "ClipPublished" && event.attempt > 1;
    if (retried || event.type === "ClipFailed") {
      removals.push({ type: "below", prefix: `clips/${clipId(event.batch, event.clip)}/` });
    }
  }
  for (const effect of effects) {
    if (effect.type !== "superseded" || !effect.discard) continue;
    const { batch, clip } = effect.ref;
    removals.push({ type: "below", prefix: `clips/${clipId(batch, clip)}/` });
  }
  return removals;
}

/** Keys of checkpoints that the event makes worthless. */
function endedCheckpoints(event: FarmEvent, checkpoints: Checkpoints): readonly string[] {
  switch (event.type) {
    case "CheckpointStored":
      return checkpoints.replace(clipId(event.batch, event.clip), event.checkpoint.artifact.key);
    case "SegmentCompleted":
    case "PreviewPublished":
    case "ClipPublished":
    case "ClipFailed":
      return checkpoints.end([clipId(event.batch, event.clip)]);
    case "BatchCancelled":
      return checkpoints.end(checkpoints.clipsOf(event.batch));
    case "ClipsSkipped": {
      const ids = event.clips.map(([first, last]) => [first, last].map((i) => clipId("", i)));
      const skipped = (clip: string): boolean => {
        const place = clip.slice(event.batch.length);
        return ids.some(([first = "", last = ""]) => place >= first && place <= last);
      };
      return checkpoints.end(checkpoints.clipsOf(event.batch).filter(skipped));
    }
    default:
      return [];
  }
}

async function remove({ life, store }: JanitorOptions, removal: Removal): Promise<void> {
  const found: string[] = [];
  if (removal.type === "file") found.push(removal.key);
  else for await (const { key } of store.list(removal.prefix)) found.push(key);
  const leftovers = await life.query(({ state }) => found.filter((key) => isLeftover(state, key)));
  for (const key of leftovers) await store.delete(key);
}

async function* grouped(files: AsyncIterable<ArtifactHead>): AsyncGenerator<ArtifactHead[]> {
  let group: ArtifactHead[] = [];
  for await (const file of files) {
    group.push(file);
    if (group.length < groupMax) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
