// The process that owns one device: it loads the addon, keeps one model's weights, and renders
// clips for the agent that forked it: one is denoised while the one before is decoded and written.
// A crash of the engine takes this process and nothing else.
import { errorCodes, FarmError } from "../common/errors.js";
import { Engine, type EngineInfo, engineVersions } from "../engine/engine.js";
import { engineError } from "../engine/errors.js";
import { ClipRender } from "./clip-render.js";
import { encoderVersion } from "./encoder.js";
import type {
  ClipEvent,
  DeviceSettings,
  FailedMessage,
  FromEngine,
  ModelRef,
  RenderJob,
  RenderOutput,
  ToEngine,
} from "./engine-messages.js";

type Tell = (event: ClipEvent) => void;

interface RenderOptions {
  readonly job: RenderJob;
  readonly tell: Tell;
  /** Ends of the clips that were begun before. */
  readonly before: readonly Promise<void>[];
}

/** A clip from its job to its end. */
interface ClipInWork {
  render: ClipRender | undefined;
  cancelled: boolean;
  cut: boolean;
  /** Settles, and never rejects, when nothing of it is left. */
  ended: Promise<void>;
}

/** The engine, its model, and the clips in work: one is denoised while another is finished. */
class EngineProcess {
  readonly #settings: DeviceSettings;
  #ffmpeg = "";
  #engine: Engine | undefined;
  #model: ModelRef | undefined;
  readonly #clips = new Map<number, ClipInWork>();

  constructor(settings: DeviceSettings) {
    this.#settings = settings;
  }

  async open(model: ModelRef): Promise<void> {
    this.#ffmpeg = await encoderVersion();
    const { info } = await this.#load(model, () => {}); // no clip's own stage
    const versions = { ...engineVersions(), ffmpeg: this.#ffmpeg };
    emit({ type: "opened", info: { ...info, kind: this.#kindOf(info) }, versions });
  }

  render(number: number, job: RenderJob): void {
    const before = [...this.#clips.values()].map(({ ended }) => ended);
    const clip: ClipInWork = {
      render: undefined,
      cancelled: false,
      cut: false,
      ended: Promise.resolve(),
    };
    this.#clips.set(number, clip);
    const tell = (event: ClipEvent) => emit({ type: "clip", clip: number, event });
    clip.ended = this.#render(clip, { job, tell, before })
      .then((output) => tell({ type: "done", output }))
      .catch((thrown) => reportFailure(thrown, number))
      .finally(() => this.#clips.delete(number));
  }

  cancel(number: number): void {
    const clip = this.#clips.get(number);
    if (clip === undefined) return; // it has just ended
    clip.cancelled = true;
    clip.render?.cancel();
  }

  cut(number: number): void {
    const clip = this.#clips.get(number);
    if (clip === undefined) return;
    clip.cut = true;
    clip.render?.cut();
  }

  async #render(clip: ClipInWork, { job, tell, before }: RenderOptions): Promise<RenderOutput> {
    // Other weights can only come when nobody needs these any more.
    if (this.#model?.path !== job.model.path) await Promise.all(before);
    const engine = await this.#load(job.model, tell);
    if (clip.cancelled) throw new FarmError("CANCELLED", "the render was cancelled");
    if (clip.cut) throw new FarmError("INTERRUPTED", "the render was cut before it began");
    const kind = this.#kindOf(engine.info);
    clip.render = new ClipRender({ engine, kind, settings: this.#settings, job, tell });
    return clip.render.run();
  }

  /** The engine's kind and the encoder's version: both decide a clip's bits. */
  #kindOf(info: EngineInfo): string {
    return `${info.kind} ffmpeg-${this.#ffmpeg}`;
  }

  /** The engine with this model's weights; another model's are given up first, to make room. */
  async #load(model: ModelRef, tell: Tell): Promise<Engine> {
    if (this.#engine !== undefined && this.#model?.path === model.path) return this.#engine;
    tell({ type: "stage", stage: "load" });
    emit({ type: "model", name: "" });
    await this.#engine?.close();
    this.#engine = undefined;
    this.#engine = await Engine.create({ ...this.#settings, model: model.path });
    this.#model = model;
    emit({ type: "model", name: model.name });
    const seconds = this.#engine.info.loadSeconds;
    tell({ type: "stage_ended", stage: "load", seconds });
    return this.#engine;
  }
}

function emit(message: FromEngine): void {
  process.send?.(message);
}

/** Says what went wrong; when the engine is lost, the process ends as soon as that is said. */
function reportFailure(thrown: unknown, clip: number | undefined): void {
  const { code, message } = engineError(thrown);
  const lost = clip === undefined || code === "DEVICE_LOST" || code === "INTERNAL";
  const failed: FailedMessage = { type: "failed", code, message, engineUsable: !lost };
  const told: FromEngine = clip === undefined ? failed : { type: "clip", clip, event: failed };
  if (lost) process.send?.(told, () => process.exit(errorCodes[code].exit));
  else emit(told);
}

/** No clean-up: weights and threads go with the process, and waiting could outlast our agent. */
function dieAtOnce(): void {
  process.kill(process.pid, "SIGKILL");
}

function main(): void {
  let engine: EngineProcess | undefined;
  // The agent decides when a clip ends; a Ctrl-C in its terminal is for it alone.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => {});
  process.on("disconnect", dieAtOnce);
  process.on("message", (message: ToEngine) => {
    switch (message.type) {
      case "open":
        engine = new EngineProcess(message.settings);
        engine.open(message.model).catch((thrown) => reportFailure(thrown, undefined));
        break;
      case "render":
        engine?.render(message.clip, message.job);
        break;
      case "cancel":
        engine?.cancel(message.clip);
        break;
      case "cut":
        engine?.cut(message.clip);
        break;
    }
  });
  if (process.send === undefined) {
    process.stderr.write("FAILED_PRECONDITION: this program is started by a tocafarm worker\n");
    process.exit(errorCodes.FAILED_PRECONDITION.exit);
  }
  if (!process.connected) dieAtOnce(); // the agent died before anybody listened here
}

main();
