// Removes what no reader will ever see: the files of attempts that lost their clip. One at a time
// and at leisure; what a crash leaves behind is in nobody's way, since only the log says what
// counts.

import type { ArtifactStore } from "../artifacts/port.js";
import { artifactPrefix, clipId } from "../common/ids.js";
import type { Log } from "../common/log.js";
import type { FarmPort, Turn } from "./ports.js";

/** Removals that may wait; the files of those beyond it stay. */
const waitingMax = 10_000;

interface Removal {
  readonly prefix: string;
  /** Files below this prefix stay. */
  readonly except: string;
}

export interface Janitor {
  stop(): Promise<void>;
}

export function startJanitor(farm: FarmPort, store: ArtifactStore, log: Log): Janitor {
  const waiting: Removal[] = [];
  let working: Promise<void> | undefined;
  let stopped = false;

  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next && !stopped; next = waiting.shift()) {
      const { prefix } = next;
      await remove(store, next).catch((error: unknown) => {
        log.warn({ err: error, prefix }, "files of an attempt that lost could not be removed");
      });
    }
    working = undefined;
  };

  const unsubscribe = farm.onTurn((turn) => {
    for (const removal of removalsOf(turn)) {
      if (waiting.length < waitingMax) waiting.push(removal);
    }
    if (waiting.length > 0) working ??= work();
  });
  return {
    stop: async () => {
      stopped = true;
      unsubscribe();
      await working;
    },
  };
}

function removalsOf({ events, effects }: Turn): Removal[] {
  const removals: Removal[] = [];
  for (const event of events) {
    if (event.type === "ClipPublished" && event.attempt > 1) {
      const clip = clipId(event.batch, event.clip);
      removals.push({ prefix: `clips/${clip}/`, except: artifactPrefix(clip, event.attempt) });
    }
    if (event.type === "ClipFailed") {
      removals.push({ prefix: `clips/${clipId(event.batch, event.clip)}/`, except: "" });
    }
  }
  for (const effect of effects) {
    if (effect.type !== "superseded" || !effect.discard) continue;
    const { batch, clip, attempt } = effect.ref;
    removals.push({ prefix: artifactPrefix(clipId(batch, clip), attempt), except: "" });
  }
  return removals;
}

async function remove(store: ArtifactStore, { prefix, except }: Removal): Promise<void> {
  for await (const { key } of store.list(prefix)) {
    if (except === "" || !key.startsWith(except)) await store.delete(key);
  }
}
