// The process that owns one device: it loads the addon, keeps one model's weights, and renders one
// clip at a time for the agent that forked it. A crash of the engine takes this process and nothing
// else.
import { errorCodes, FarmError } from "../common/errors.js";
import { Engine, type EngineInfo, engineVersions } from "../engine/engine.js";
import { engineError } from "../engine/errors.js";
import { ClipRender } from "./clip-render.js";
import { encoderVersion } from "./encoder.js";
import type {
  DeviceSettings,
  FailedMessage,
  FromEngine,
  ModelRef,
  RenderJob,
  ToEngine,
} from "./engine-messages.js";

/** The engine, its model, and the clip in work. */
class EngineProcess {
  readonly #settings: DeviceSettings;
  #ffmpeg = "";
  #engine: Engine | undefined;
  #model: ModelRef | undefined;
  #render: ClipRender | undefined;
  #cancelled = false;
  #cut = false;

  constructor(settings: DeviceSettings) {
    this.#settings = settings;
  }

  async open(model: ModelRef): Promise<void> {
    this.#ffmpeg = await encoderVersion();
    const { info } = await this.#load(model);
    const versions = { ...engineVersions(), ffmpeg: this.#ffmpeg };
    emit({ type: "opened", info: { ...info, kind: this.#kindOf(info) }, versions });
  }

  async render(job: RenderJob): Promise<void> {
    this.#cancelled = false;
    this.#cut = false;
    try {
      const engine = await this.#load(job.model);
      if (this.#cancelled) throw new FarmError("CANCELLED", "the render was cancelled");
      if (this.#cut) throw new FarmError("INTERRUPTED", "the render was cut before it began");
      const kind = this.#kindOf(engine.info);
      this.#render = new ClipRender({ engine, kind, settings: this.#settings, job, emit });
      emit({ type: "done", output: await this.#render.run() });
    } finally {
      this.#render = undefined;
    }
  }

  cancel(): void {
    this.#cancelled = true;
    this.#render?.cancel();
  }

  cut(): void {
    this.#cut = true;
    this.#render?.cut();
  }

  /** The engine's kind and the encoder's version: both decide a clip's bits. */
  #kindOf(info: EngineInfo): string {
    return `${info.kind} ffmpeg-${this.#ffmpeg}`;
  }

  /** The engine with this model's weights; another model's are given up first, to make room. */
  async #load(model: ModelRef): Promise<Engine> {
    if (this.#engine !== undefined && this.#model?.path === model.path) return this.#engine;
    emit({ type: "stage", stage: "load" });
    emit({ type: "model", name: "" });
    await this.#engine?.close();
    this.#engine = undefined;
    this.#engine = await Engine.create({ ...this.#settings, model: model.path });
    this.#model = model;
    emit({ type: "model", name: model.name });
    const seconds = this.#engine.info.loadSeconds;
    emit({ type: "stage_ended", stage: "load", seconds });
    return this.#engine;
  }
}

function emit(message: FromEngine): void {
  process.send?.(message);
}

/** Says what went wrong; when the engine is lost, the process ends as soon as that is said. */
function report(thrown: unknown, options: { readonly opening: boolean }): void {
  const { code, message } = engineError(thrown);
  const lost = options.opening || code === "DEVICE_LOST" || code === "INTERNAL";
  const failed: FailedMessage = { type: "failed", code, message, engineUsable: !lost };
  if (lost) process.send?.(failed, () => process.exit(errorCodes[code].exit));
  else emit(failed);
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
        engine.open(message.model).catch((thrown) => report(thrown, { opening: true }));
        break;
      case "render":
        engine?.render(message.job).catch((thrown) => report(thrown, { opening: false }));
        break;
      case "cancel":
        engine?.cancel();
        break;
      case "cut":
        engine?.cut();
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
