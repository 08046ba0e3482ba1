// Brings an attempt's checkpoints into the store while its render goes on: one at a time, and the
// newest when several wait, since only the newest is of use. One that cannot be stored costs a
// later resume some steps; it is no failure of the clip.
import { rm } from "node:fs/promises";
import type { ArtifactStore } from "../artifacts/port.js";
import { sleep } from "../common/clock.js";
import { asFarmError } from "../common/errors.js";
import { checkpointKey } from "../common/ids.js";
import type { Log } from "../common/log.js";
import type { RenderTotals } from "../proto/gen/tocafarm/v1/render.js";
import type { AttemptRef, Checkpoint } from "../proto/gen/tocafarm/v1/worker.js";
import { toArtifactMessage } from "./artifact-message.js";
import type { WorkerMetrics } from "./metrics.js";

/** A file from which the attempt can go on, as the engine left it. */
export interface FoundCheckpoint {
  /** Steps done. */
  readonly step: number;
  readonly path: string;
  /** Of the steps done. */
  readonly totals: RenderTotals;
}

export interface CheckpointUploadsOptions {
  readonly store: ArtifactStore;
  readonly clip: string;
  readonly attempt: AttemptRef;
  readonly metrics: WorkerMetrics;
  readonly log: Log;
  /** Called for each that is stored, in the order of their steps. */
  readonly onStored: (checkpoint: Checkpoint) => void;
}

// A few megabytes; a store that takes longer is as good as gone, and the attempt's end is told.
const settleMsMax = 30_000;

export class CheckpointUploads {
  readonly #options: CheckpointUploadsOptions;
  #waiting: FoundCheckpoint | undefined;
  #running: Promise<void> | undefined;
  #abandoned = false;

  constructor(options: CheckpointUploadsOptions) {
    this.#options = options;
  }

  /** Takes over the file. */
  offer(found: FoundCheckpoint): void {
    if (this.#abandoned) return;
    const older = this.#waiting;
    this.#waiting = found;
    if (older !== undefined) {
      this.#options.metrics.countCheckpoint("skipped");
      void rm(older.path, { force: true }).catch(() => {}); // its folder goes with the attempt
    }
    this.#running ??= this.#storeAll();
  }

  /** Notes one that the engine could not write. */
  failed(step: number, why: string): void {
    this.#options.metrics.countCheckpoint("failed");
    const { log, attempt } = this.#options;
    log.warn({ ...attempt, step, reason: why }, "a checkpoint could not be kept; the clip goes on");
  }

  /** Resolves when everything offered is stored and told, has failed, or took too long. */
  async settled(): Promise<void> {
    if (this.#running === undefined) return;
    const late = new AbortController();
    const wait = sleep(settleMsMax, late.signal).catch(() => {});
    await Promise.race([this.#running, wait]);
    late.abort();
    this.abandon();
  }

  /** Nobody needs them any more: what is under way is told to nobody, and removed again. */
  abandon(): void {
    this.#abandoned = true;
    this.#waiting = undefined;
  }

  async #storeAll(): Promise<void> {
    for (let found = this.#take(); found !== undefined; found = this.#take()) {
      await this.#store(found);
    }
    this.#running = undefined;
  }

  #take(): FoundCheckpoint | undefined {
    const found = this.#waiting;
    this.#waiting = undefined;
    return found;
  }

  async #store({ step, path, totals }: FoundCheckpoint): Promise<void> {
    const { store, clip, attempt, metrics, onStored } = this.#options;
    const key = checkpointKey(clip, attempt.attempt, step);
    try {
      const artifact = await store.putFile(key, path);
      if (this.#abandoned) {
        await store.delete(key);
        return;
      }
      metrics.countCheckpoint("stored");
      onStored({ attempt, step, artifact: toArtifactMessage(artifact), totals });
    } catch (thrown) {
      if (this.#abandoned) return; // the leader's sweep finds what is left
      this.failed(step, asFarmError(thrown).message);
      await rm(path, { force: true }).catch(() => {}); // its folder goes with the attempt
    }
  }
}
