// One attempt, from its lease to its files in the store: an own folder, the engine's work with its
// running totals, the upload. What it leaves behind is either everything or nothing.
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Artifact, type ArtifactStore, checkKey } from "../artifacts/port.js";
import { monotonicClock } from "../common/clock.js";
import { asFarmError, FarmError } from "../common/errors.js";
import { makeFolders } from "../common/folders.js";
import type { Log } from "../common/log.js";
import type { Artifact as ArtifactMessage, RenderTotals } from "../proto/gen/tocafarm/v1/render.js";
import type {
  AttemptProgress,
  AttemptRef,
  Completed,
  Lease,
} from "../proto/gen/tocafarm/v1/worker.js";
import type { FromEngine, ModelRef, RenderJob, RenderOutput } from "./engine-messages.js";
import { jobOf } from "./lease-job.js";
import { manifestText } from "./manifest.js";
import type { Stage, WorkerMetrics } from "./metrics.js";
import type { Supervisor } from "./supervisor.js";

const manifestName = "manifest.json";

export interface AttemptOptions {
  readonly lease: Lease;
  readonly ref: AttemptRef;
  readonly supervisor: Supervisor;
  readonly models: ReadonlyMap<string, ModelRef>;
  readonly store: ArtifactStore;
  readonly metrics: WorkerMetrics;
  /** Below it the attempt makes a folder of its own. */
  readonly folder: string;
  readonly version: string;
  readonly log: Log;
}

export class Attempt {
  readonly ref: AttemptRef;
  readonly #options: AttemptOptions;
  #stage: Stage = "load";
  #step = 0;
  #cancelled: FarmError | undefined;
  readonly #totals: RenderTotals = {
    tokensComputed: 0n,
    tokensReused: 0n,
    flops: 0,
    flopsNone: 0,
    textEncodeSeconds: 0,
    denoiseSeconds: 0,
    decodeSeconds: 0,
    encodeSeconds: 0,
    uploadSeconds: 0,
  };

  constructor(options: AttemptOptions) {
    this.ref = options.ref;
    this.#options = options;
  }

  get device(): string {
    return this.#options.supervisor.settings.device;
  }

  get model(): string {
    return this.#options.lease.spec?.model ?? "";
  }

  progress(): AttemptProgress {
    return {
      attempt: this.ref,
      stage: this.#stage,
      step: this.#step,
      steps: this.#options.lease.spec?.steps ?? 0,
      totals: { ...this.#totals },
    };
  }

  onEngineEvent(event: FromEngine): void {
    if (event.type === "stage") this.#stage = event.stage;
    else if (event.type === "stage_ended") this.#addSeconds(event.stage, event.seconds);
    else if (event.type === "steps") {
      this.#step = event.step;
      this.#totals.flops += event.flops;
      this.#totals.flopsNone += event.flopsNone;
      for (const module of event.modules) {
        this.#totals.tokensComputed += BigInt(module.tokensComputed);
        this.#totals.tokensReused += BigInt(module.tokensReused);
      }
    }
  }

  /** Makes `run` reject with `why` once the engine has stopped. */
  cancel(why: FarmError): void {
    this.#cancelled ??= why;
    this.#options.supervisor.cancel();
  }

  /**
   * Renders and uploads; rejects with a FarmError when nothing of the attempt is left, here or
   * there.
   */
  async run(): Promise<Completed> {
    const name = `${this.ref.segmentId}.${this.ref.attempt}`;
    const folder = join(this.#options.folder, name);
    try {
      checkKey(name); // it came over the network, and names a folder
      await makeFolders(folder);
      const job = await this.#job(folder);
      this.#throwIfCancelled();
      const output = await this.#options.supervisor.render(job);
      this.#comparePlans(output.planDigest);
      const artifacts = await this.#upload(job, output);
      return { attempt: this.ref, artifacts: artifacts.map(toMessage), totals: this.#totals };
    } catch (thrown) {
      throw this.#cancelled ?? asFarmError(thrown);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #job(folder: string): Promise<RenderJob> {
    const { lease, models, supervisor } = this.#options;
    const { settings } = supervisor;
    const key = lease.spec?.initialLatentKey ?? "";
    const initialLatentPath = key === "" ? null : await this.#fetch(key, folder);
    return jobOf(lease, { settings, models, folder, initialLatentPath });
  }

  /** A local path of an artifact: where the store has it, or a copy in the attempt's folder. */
  async #fetch(key: string, folder: string): Promise<string> {
    const { store } = this.#options;
    if ((await store.head(key)) === undefined) {
      throw new FarmError("NOT_FOUND", `the initial latent ${key} is not in the artifact store`);
    }
    const path = store.localPath?.(key);
    if (path !== undefined) return path;
    const copy = join(folder, "initial-latent.safetensors");
    await pipeline(store.get(key), createWriteStream(copy));
    return copy;
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
    this.#stage = "upload";
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
    this.#addSeconds("upload", seconds);
    this.#options.metrics.observeStage("upload", seconds);
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

  #addSeconds(stage: Stage, seconds: number): void {
    const field = totalsField[stage];
    if (field !== undefined) this.#totals[field] += seconds;
  }

  #throwIfCancelled(): void {
    if (this.#cancelled !== undefined) throw this.#cancelled;
  }
}

const totalsField = {
  load: undefined,
  text_encode: "textEncodeSeconds",
  denoise: "denoiseSeconds",
  decode: "decodeSeconds",
  encode: "encodeSeconds",
  upload: "uploadSeconds",
} as const satisfies Record<Stage, keyof RenderTotals | undefined>;

function toMessage({ key, sha256, sizeBytes }: Artifact): ArtifactMessage {
  return { key, sha256, sizeBytes: BigInt(sizeBytes) };
}
