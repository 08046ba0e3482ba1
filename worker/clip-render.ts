// One clip in an engine process: cleans the prompt, runs the engine (which refuses what does not
// fit the memory) and pipes its frames into FFmpeg with back-pressure, while profile and trace are
// gathered. Everything is written into the attempt's own folder; the media gets its name only when
// it is whole.
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { monotonicClock } from "../common/clock.js";
import { asFarmError, FarmError } from "../common/errors.js";
import type { Engine, EngineEvent, Render } from "../engine/engine.js";
import { makePlan } from "../engine/plan.js";
import { modelPrompt } from "../engine/prompt.js";
import { Encoder } from "./encoder.js";
import type {
  ClipEvent,
  DeviceSettings,
  EngineStage,
  RenderJob,
  RenderOutput,
} from "./engine-messages.js";
import { Profile, type StepEvent, TraceFile } from "./profile.js";
import { StepSums } from "./step-sums.js";

// Four messages a second are smooth to the eye and nothing to the agent.
const stepsMessageGapMs = 250;
const profileName = "profile.json";
const traceName = "trace.jsonl";
const latentName = "latent.safetensors";
const framesName = "frames.mkv";

const nextStage = { text_encode: "denoise", denoise: "decode", decode: "encode" } as const;

/** One file of the clip in the making; its name is that of the finished file. */
interface NamedEncoder {
  readonly name: string;
  readonly encoder: Encoder;
}

export interface ClipRenderOptions {
  readonly engine: Engine;
  /** As announced: of the engine and the encoder. */
  readonly kind: string;
  readonly settings: DeviceSettings;
  readonly job: RenderJob;
  readonly tell: (event: ClipEvent) => void;
}

export class ClipRender {
  readonly #engine: Engine;
  readonly #kind: string;
  readonly #settings: DeviceSettings;
  readonly #job: RenderJob;
  readonly #tell: (event: ClipEvent) => void;
  readonly #profile = new Profile();
  readonly #sums = new StepSums();
  readonly #media: string;
  #render: Render | undefined;
  #trace: TraceFile | undefined;
  #encoders: readonly NamedEncoder[] | undefined;
  #written: Promise<void> = Promise.resolve();
  #failure: FarmError | undefined;
  #saidStepsAtMs = Number.NEGATIVE_INFINITY;

  constructor({ engine, kind, settings, job, tell }: ClipRenderOptions) {
    this.#engine = engine;
    this.#kind = kind;
    this.#settings = settings;
    this.#job = job;
    this.#tell = tell;
    this.#media = job.plan.frames === 1 ? "image.png" : "video.mp4";
  }

  /**
   * Renders; throws the engine's or encoder's FarmError, CANCELLED after cancel, INTERRUPTED after
   * cut. FFmpeg is gone then.
   */
  async run(): Promise<RenderOutput> {
    try {
      return await this.#run();
    } catch (thrown) {
      throw this.#failure ?? this.#blamed(asFarmError(thrown));
    } finally {
      this.#trace?.close();
      await this.#killEncoders();
    }
  }

  /** Stops the engine within a block, and the encoders at once. */
  cancel(): void {
    this.#fail(new FarmError("CANCELLED", "the render was cancelled"));
  }

  /** Stops at the next refresh point, with a checkpoint; a file that only needs its end gets it. */
  cut(): void {
    this.#render?.cut();
  }

  async #run(): Promise<RenderOutput> {
    const job = this.#job;
    const cleanedPrompt = modelPrompt(job.prompt, job.scores, job.model.traits.prompt);
    const plan = makePlan(job.model.configs, job.plan, this.#settings.dtype);
    if (job.trace !== "none") this.#trace = new TraceFile(join(job.folder, traceName));
    this.#throwIfFailed();
    this.#tell({ type: "stage", stage: "text_encode" });
    this.#render = this.#engine.render(
      {
        request: { ...job.plan, prompt: cleanedPrompt, seed: job.seed },
        initialLatentPath: job.initialLatentPath,
        saveLatentPath: job.saveLatent ? join(job.folder, latentName) : null,
        traceIndices: job.trace === "indices",
        resumeFromPath: job.resumeFromPath,
        checkpointFolder: job.folder,
        checkpointPeriodSeconds: job.checkpointPeriodSeconds,
      },
      (event) => this.#onEvent(event),
    );
    const result = await this.#render.result;
    if (job.model.traits.prompt === "text") {
      this.#tell({ type: "prompt", kept: result.promptKept });
    }
    await this.#finishMedia();
    await this.#writeProfile();
    return {
      media: this.#media,
      others: this.#others(),
      frames: result.frames,
      height: result.height,
      width: result.width,
      cleanedPrompt,
      sampler: plan.sampler,
      planDigest: plan.digest,
      weightsDigest: this.#engine.info.weightsDigest,
      kind: this.#kind,
    };
  }

  /** What goes wrong here ends the render: nothing may be thrown into the addon. */
  #onEvent(event: EngineEvent): void {
    try {
      switch (event.type) {
        case "step":
          this.#onStep(event);
          break;
        case "stage":
          this.#onStageEnded(event.stage, event.seconds);
          break;
        case "frames":
          this.#onFrames(event);
          break;
        case "checkpoint":
        case "checkpoint_failed":
          this.#saySteps(); // the totals of a checkpoint are those of all steps before it
          this.#tell(event);
          break;
      }
    } catch (thrown) {
      this.#fail(asFarmError(thrown));
    }
  }

  #onStep(event: StepEvent): void {
    this.#profile.add(event);
    this.#trace?.add(event);
    this.#sums.add(event);
    if (monotonicClock.now() - this.#saidStepsAtMs >= stepsMessageGapMs) this.#saySteps();
  }

  #saySteps(): void {
    const message = this.#sums.take();
    if (message === undefined) return;
    this.#saidStepsAtMs = monotonicClock.now();
    this.#tell(message);
  }

  #onStageEnded(stage: keyof typeof nextStage, seconds: number): void {
    this.#saySteps();
    this.#tell({ type: "stage_ended", stage, seconds });
    this.#tell({ type: "stage", stage: nextStage[stage] });
  }

  #onFrames({ rgb, height, width }: Extract<EngineEvent, { type: "frames" }>): void {
    if (this.#failure !== undefined) return;
    this.#encoders ??= this.#newEncoders(height, width);
    const taken = Promise.all(this.#encoders.map(({ encoder }) => encoder.write(rgb))).then(
      () => this.#render?.releaseFrames(),
      (thrown) => this.#fail(asFarmError(thrown)),
    );
    const before = this.#written;
    this.#written = before.then(() => taken);
  }

  #newEncoders(height: number, width: number): readonly NamedEncoder[] {
    const { plan, saveFps } = this.#job;
    return this.#encodedNames().map((name) => {
      const path = this.#partPath(name);
      const lossless = name === framesName;
      const size = { frames: plan.frames, height, width, fps: saveFps };
      return { name, encoder: new Encoder({ path, ...size, lossless }) };
    });
  }

  /** What the encoders write: the media, and a video's frames when they are wanted. */
  #encodedNames(): readonly string[] {
    const { plan, saveFrames } = this.#job;
    return saveFrames && plan.frames > 1 ? [this.#media, framesName] : [this.#media];
  }

  async #finishMedia(): Promise<void> {
    const beganMs = monotonicClock.now();
    await this.#written;
    this.#throwIfFailed();
    if (this.#encoders === undefined) throw new FarmError("INTERNAL", "the engine gave no frames");
    await Promise.all(this.#encoders.map(({ encoder }) => encoder.finish()));
    this.#throwIfFailed();
    for (const name of this.#encodedNames()) {
      await rename(this.#partPath(name), join(this.#job.folder, name));
    }
    const seconds = (monotonicClock.now() - beganMs) / 1000;
    this.#tell({ type: "stage_ended", stage: "encode" satisfies EngineStage, seconds });
  }

  async #writeProfile(): Promise<void> {
    const { model, plan, folder, firstStep } = this.#job;
    const text = this.#profile.text({ model: model.name, policy: plan.policy.name, firstStep });
    await writeFile(join(folder, profileName), text);
  }

  #others(): readonly string[] {
    const { saveLatent, trace } = this.#job;
    return [
      profileName,
      ...(saveLatent ? [latentName] : []),
      ...(trace === "none" ? [] : [traceName]),
      ...this.#encodedNames().slice(1),
    ];
  }

  /** The first failure counts: what follows from stopping engine and encoder is no news. */
  #fail(error: FarmError): void {
    this.#failure ??= error;
    this.#render?.cancel();
    void this.#killEncoders();
  }

  async #killEncoders(): Promise<void> {
    await Promise.all((this.#encoders ?? []).map(({ encoder }) => encoder.kill()));
  }

  /**
   * The weights are read before a render: a file that is found damaged now is the initial latent,
   * which is the submitter's to mend. Its path here would tell him nothing.
   */
  #blamed(error: FarmError): FarmError {
    const path = this.#job.initialLatentPath;
    if (path === null || !error.message.includes(path)) return error;
    const code = error.code === "INVALID_CHECKPOINT" ? "INVALID_ARGUMENT" : error.code;
    const message = error.message.replace(`initial latent ${path}`, path);
    return new FarmError(code, message.replace(path, "the initial latent"), { cause: error });
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #partPath(name: string): string {
    return join(this.#job.folder, `${name}.part`);
  }
}
