// One attempt, from its lease to its files in the store: an own folder, the engine's work with its
// checkpoints and running totals, the upload. What it leaves behind is either everything or
// nothing; only its checkpoints stay, for the next attempt to go on from.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Artifact, type ArtifactStore, checkKey } from "../artifacts/port.js";
import { monotonicClock } from "../common/clock.js";
import { asFarmError, FarmError } from "../common/errors.js";
import { makeFolders } from "../common/folders.js";
import type { Log } from "../common/log.js";
import { unusedCacheWarning } from "../engine/unused-cache.js";
import type { RenderTotals } from "../proto/gen/tocafarm/v1/render.js";
import type {
  AttemptProgress,
  AttemptRef,
  Checkpoint,
  Completed,
  Lease,
} from "../proto/gen/tocafarm/v1/worker.js";
import { toArtifactMessage } from "./artifact-message.js";
import { fetchCheckpoint, fetchInitialLatent } from "./attempt-inputs.js";
import { AttemptTally } from "./attempt-tally.js";
import { CheckpointUploads } from "./checkpoint-uploads.js";
import type { ClipEvent, ModelRef, RenderJob, RenderOutput } from "./engine-messages.js";
import { jobOf } from "./lease-job.js";
import { manifestText } from "./manifest.js";
import type { Stage, WorkerMetrics } from "./metrics.js";
import { isInLastSteps, type Pace, type Remaining, remaining } from "./remaining.js";
import { endsDenoising, type SupervisedRender, type Supervisor } from "./supervisor.js";

const manifestName = "manifest.json";

export interface AttemptOptions {
  readonly lease: Lease;
  readonly ref: AttemptRef;
  readonly supervisor: Supervisor;
  readonly models: ReadonlyMap<string, ModelRef>;
  readonly store: ArtifactStore;
  readonly metrics: WorkerMetrics;
  /** Of the device. */
  readonly pace: Pace;
  /** Below it the attempt makes a folder of its own. */
  readonly folder: string;
  /** At least so long between two checkpoints; 0 = at each refresh point. */
  readonly checkpointPeriodSeconds: number;
  readonly version: string;
  readonly log: Log;
  readonly onEngineEvent: (news: EngineNews) => void;
  /** A checkpoint lies in the store. */
  readonly onCheckpoint: (checkpoint: Checkpoint) => void;
}

/** The engine process told something of an attempt, which has heard it. */
export interface EngineNews {
  readonly attempt: Attempt;
  readonly event: ClipEvent;
  /** From now on its device may ask for the next lease. */
  readonly entersLastSteps: boolean;
}

export class Attempt {
  readonly ref: AttemptRef;
  readonly #options: AttemptOptions;
  readonly #tally: AttemptTally;
  readonly #checkpoints: CheckpointUploads;
  #rendering: SupervisedRender | undefined;
  #checkpoint: Checkpoint | undefined;
  #cancelled: FarmError | undefined;
  #cut: FarmError | undefined;

  constructor(options: AttemptOptions) {
    const { store, lease, ref, metrics, log } = options;
    this.ref = ref;
    this.#options = options;
    this.#tally = new AttemptTally(lease, monotonicClock);
    this.#checkpoints = new CheckpointUploads({
      ...{ store, clip: lease.clipId, attempt: ref, metrics, log },
      onStored: (checkpoint) => {
        this.#checkpoint = checkpoint;
        options.onCheckpoint(checkpoint);
      },
    });
  }

  get model(): string {
    return this.#options.lease.spec?.model ?? "";
  }

  /** The newest one in the store; undefined when this attempt has stored none. */
  get checkpoint(): Checkpoint | undefined {
    return this.#checkpoint;
  }

  /** What it still needs, by what is known. */
  get remaining(): Remaining {
    return remaining(this.#tally, this.#options.pace, this.#pixels);
  }

  /** Whether its engine will soon be free. */
  get inLastSteps(): boolean {
    return isInLastSteps(this.#tally);
  }

  progress(): AttemptProgress {
    const { stage, step, steps, totals } = this.#tally;
    return { attempt: this.ref, stage, step, steps, totals };
  }

  #onEngineEvent(event: ClipEvent): void {
    const { inLastSteps } = this;
    this.#tally.onEngineEvent(event);
    if (event.type === "stage_ended") {
      this.#options.pace.observe(event.stage, event.seconds, this.#pixels);
    } else if (event.type === "checkpoint") {
      const { step, path } = event;
      this.#checkpoints.offer({ step, path, totals: this.#tally.totals });
    } else if (event.type === "checkpoint_failed") {
      this.#checkpoints.failed(event.step, event.message);
    }
    const entersLastSteps = this.inLastSteps && !inLastSteps;
    this.#options.onEngineEvent({ attempt: this, event, entersLastSteps });
  }

  /** Makes `run` reject with `why` once the engine has stopped. */
  cancel(why: FarmError): void {
    this.#cancelled ??= why;
    this.#rendering?.cancel();
  }

  /**
   * Makes `run` reject with `why` at the next refresh point, after its checkpoint was told; it
   * resolves where the engine's work is already done.
   */
  cut(why: FarmError): void {
    if (this.#cut !== undefined) return;
    this.#cut = why;
    this.#rendering?.cut();
  }

  /**
   * Renders and uploads; rejects with a FarmError when nothing of the attempt is left, here or
   * there, but its checkpoints. `onEngineFree` is called as soon as the engine may begin something
   * else: when the clip is denoised, and again at the end of its work.
   */
  async run(onEngineFree: () => void): Promise<Completed> {
    const name = `${this.ref.segmentId}.${this.ref.attempt}`;
    const folder = join(this.#options.folder, name);
    this.#tally.begin("load");
    try {
      checkKey(name); // it came over the network, and names a folder
      const { job, output } = await this.#render(folder, onEngineFree).finally(onEngineFree);
      const artifacts = await this.#upload(job, output);
      this.#checkpoints.abandon();
      const totals = this.#tally.totals;
      this.#warnOfUnusedCache(totals);
      return { attempt: this.ref, artifacts: artifacts.map(toArtifactMessage), totals };
    } catch (thrown) {
      throw await this.#outcome(asFarmError(thrown));
    } finally {
      await this.#removeFolder(folder);
    }
  }

  async #render(
    folder: string,
    onEngineFree: () => void,
  ): Promise<{ job: RenderJob; output: RenderOutput }> {
    const { supervisor } = this.#options;
    await makeFolders(folder);
    const job = await this.#job(folder);
    this.#throwIfCancelled();
    if (this.#cut !== undefined) throw this.#cut;
    this.#rendering = supervisor.render(job, (event) => {
      this.#onEngineEvent(event);
      if (endsDenoising(event)) onEngineFree();
    });
    try {
      const output = await this.#rendering.output;
      this.#comparePlans(output.planDigest);
      return { job, output };
    } finally {
      this.#rendering = undefined;
    }
  }

  async #job(folder: string): Promise<RenderJob> {
    const { lease, models, supervisor, store, checkpointPeriodSeconds } = this.#options;
    const { settings } = supervisor;
    const key = lease.spec?.initialLatentKey ?? "";
    const initialLatentPath = key === "" ? null : await fetchInitialLatent(store, key, folder);
    const { resume } = lease;
    const resumeFromPath =
      resume === undefined ? null : await fetchCheckpoint(store, resume, folder);
    const paths = { folder, initialLatentPath, resumeFromPath };
    return jobOf(lease, { settings, models, checkpointPeriodSeconds, ...paths });
  }

  /** What `run` rejects with; a checkpoint that may be gone on from is told before. */
  async #outcome(error: FarmError): Promise<FarmError> {
    if (this.#cancelled !== undefined) {
      this.#checkpoints.abandon();
      return this.#cancelled;
    }
    await this.#checkpoints.settled();
    return error.code === "INTERRUPTED" && this.#cut !== undefined ? this.#cut : error;
  }

  #warnOfUnusedCache({ tokensReused, tokensComputed }: RenderTotals): void {
    const { lease, log } = this.#options;
    const policy = lease.spec?.policy?.name ?? "none";
    const reused = Number(tokensReused);
    const warning = unusedCacheWarning({ policy, reused, passed: reused + Number(tokensComputed) });
    if (warning !== undefined) log.warn({ clip: lease.clipId, warning }, "the cache was not used");
  }

  /** The farm's figures come from the coordinator's plan: another plan here means other figures. */
  #comparePlans(executed: string): void {
    const { lease, log } = this.#options;
    if (lease.planDigest === "" || lease.planDigest === executed) return;
    const told = lease.planDigest;
    log.warn({ told, executed }, "the coordinator planned otherwise: are the versions the same?");
  }

  /** Media first, then manifest and the rest: the order in which they are reported. */
  async #upload(job: RenderJob, output: RenderOutput): Promise<readonly Artifact[]> {
    const { store, lease } = this.#options;
    const stage: Stage = "upload";
    this.#tally.begin(stage);
    const beganMs = monotonicClock.now();
    const stored: Artifact[] = [];
    try {
      for (const name of [output.media, manifestName, ...output.others]) {
        this.#throwIfCancelled();
        const key = lease.artifactPrefix + name;
        const media = stored[0];
        const artifact =
          name === manifestName && media !== undefined
            ? await store.put(key, Buffer.from(this.#manifest(job, output, media)))
            : await store.putFile(key, join(job.folder, name));
        stored.push(artifact);
      }
      this.#throwIfCancelled();
    } catch (thrown) {
      await this.#remove(stored);
      throw thrown;
    }
    const seconds = (monotonicClock.now() - beganMs) / 1000;
    this.#tally.end(stage, seconds);
    this.#options.pace.observe(stage, seconds, this.#pixels);
    this.#options.metrics.observeStage(stage, seconds);
    return stored;
  }

  #manifest(job: RenderJob, output: RenderOutput, media: Artifact): string {
    const { supervisor, version, lease } = this.#options;
    const { versions, settings } = supervisor;
    if (versions === undefined) throw new FarmError("INTERNAL", "the engine never opened");
    return manifestText({
      job,
      output,
      media,
      dtype: settings.dtype,
      initialLatentKey: lease.spec?.initialLatentKey ?? "",
      versions: { ...versions, tocafarm: version },
    });
  }

  /** The store may be what failed: then the leader's sweep removes them. */
  async #remove(stored: readonly Artifact[]): Promise<void> {
    await Promise.allSettled(stored.map(({ key }) => this.#options.store.delete(key)));
  }

  /** What came of the attempt does not change when its folder stays until the next start. */
  async #removeFolder(folder: string): Promise<void> {
    try {
      await rm(folder, { recursive: true, force: true });
    } catch (error) {
      this.#options.log.warn({ err: error, folder }, "an attempt's folder could not be removed");
    }
  }

  #throwIfCancelled(): void {
    if (this.#cancelled !== undefined) throw this.#cancelled;
  }

  get #pixels(): number {
    const { frames = 0, height = 0, width = 0 } = this.#options.lease.spec ?? {};
    return frames * height * width;
  }
}
