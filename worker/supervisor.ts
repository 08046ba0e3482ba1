// Keeps one engine process on one device alive: starts it, gives it clips, ends it when one does
// not stop in time, and starts it again, ever more slowly, when it died. The process denoises one
// clip while it decodes and writes the one before. A clip's promise settles only when the process
// has done with it or is gone, so that a report can say that its slot is free.
import { backoffMs } from "../common/backoff.js";
import { FarmError } from "../common/errors.js";
import type { Log } from "../common/log.js";
import { clipsInWorkMax, type EngineInfo } from "../engine/engine.js";
import type { EngineChild, StartEngineChild } from "./engine-child.js";
import type {
  ClipEvent,
  DeviceSettings,
  FailedMessage,
  FromEngine,
  ModelRef,
  ProgramVersions,
  RenderJob,
  RenderOutput,
  ToEngine,
} from "./engine-messages.js";

/**
 * starting: it loads or waits for its next start; ready: it takes clips; failed: it does not come
 * up.
 */
export type DeviceStatus = "starting" | "ready" | "failed";

export const restartReasons = ["crash", "device_lost", "cancel_timeout", "open_failed"] as const;
export type RestartReason = (typeof restartReasons)[number];

export interface SupervisorOptions {
  readonly settings: DeviceSettings;
  /** Loaded at every start. */
  readonly model: ModelRef;
  readonly startChild: StartEngineChild;
  /** In [0, 1), for the jitter of the wait before a restart. */
  readonly random: () => number;
  readonly log: Log;
  /** The status or `idle` may have changed. */
  readonly onChange: () => void;
  readonly onRestart: (reason: RestartReason) => void;
}

// A block takes seconds at most; who has not stopped by then never will.
const cancelMsMax = 5_000;
// A lost device may hold a process in the driver while it exits.
const exitMsMax = 5_000;
// One crash costs a fifth of a second, a device that never comes up two tries a minute.
const restartBackoff = { baseMs: 200, maxMs: 30_000 };
// Fewer could be chance; then the device is told to be failed, while tries go on.
const failedStartsTold = 3;

/** Whether another clip may be begun from now on. */
export function endsDenoising(event: ClipEvent): boolean {
  return event.type === "stage_ended" && event.stage === "denoise";
}

interface Clip {
  readonly onEvent: (event: ClipEvent) => void;
  readonly resolve: (output: RenderOutput) => void;
  readonly reject: (error: FarmError) => void;
  /** Another one may be begun beside it. */
  denoised: boolean;
  /** Runs from the moment that it is cancelled. */
  overdue: NodeJS.Timeout | undefined;
}

/** A clip in the engine process. */
export interface SupervisedRender {
  /**
   * Rejects with the engine's error, CANCELLED after cancel, INTERRUPTED after cut or when the
   * process had to be ended for another clip, and ENGINE_CRASH when it died.
   */
  readonly output: Promise<RenderOutput>;
  /** Stops the clip: by the engine, or by force when it takes longer than 5 s. */
  cancel(): void;
  /**
   * Lets the clip stop at its next refresh point, however long that takes, or go on where nothing
   * is left to cut.
   */
  cut(): void;
}

/** Why a process ends of which that is known. */
interface Ending {
  readonly error: FarmError;
  /** Whose doing it is; undefined: of no clip. */
  readonly clip: Clip | undefined;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: Log;
  #child: EngineChild | undefined;
  #status: DeviceStatus = "starting";
  #loadedModel = "";
  #info: EngineInfo | undefined;
  #versions: ProgramVersions | undefined;
  readonly #clips = new Map<number, Clip>();
  #clipsGiven = 0;
  /** Why the child is about to end, once it has said so or was told to. */
  #ending: Ending | undefined;
  #restartReason: RestartReason = "crash";
  #deaths = 0;
  #failedStarts = 0;
  #failure: FarmError | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #whenGone: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#log = options.log.child({ device: options.settings.device });
  }

  get settings(): DeviceSettings {
    return this.#options.settings;
  }

  get status(): DeviceStatus {
    return this.#status;
  }

  /** Whether a clip may be given to it. */
  get idle(): boolean {
    const clips = [...this.#clips.values()];
    const unoccupied = clips.every(({ denoised }) => denoised) && clips.length < clipsInWorkMax;
    const stays = this.#ending === undefined && !this.#stopped;
    return this.#status === "ready" && unoccupied && stays;
  }

  /** Of the model that was loaded at the last start; undefined before the first one succeeded. */
  get info(): EngineInfo | undefined {
    return this.#info;
  }

  get versions(): ProgramVersions | undefined {
    return this.#versions;
  }

  /** Name of the model whose weights the process holds now; "" = none. */
  get loadedModel(): string {
    return this.#loadedModel;
  }

  /** Why the device is failed. */
  get failure(): FarmError | undefined {
    return this.#failure;
  }

  start(): void {
    this.#ending = undefined;
    this.#restartReason = "crash";
    const child = this.#options.startChild({
      onMessage: (message) => this.#onMessage(message),
      onExit: (how) => this.#onExit(how),
    });
    this.#child = child;
    const { settings, model } = this.#options;
    child.send({ type: "open", settings, model } satisfies ToEngine);
  }

  /** Renders a clip; only while idle. What the process tells of it goes to `onEvent`. */
  render(job: RenderJob, onEvent: (event: ClipEvent) => void): SupervisedRender {
    if (!this.idle) {
      const { device } = this.settings;
      const busy = new FarmError("UNAVAILABLE", `device ${device} is not idle`);
      return { output: Promise.reject(busy), cancel: () => {}, cut: () => {} };
    }
    this.#clipsGiven += 1;
    const number = this.#clipsGiven;
    const output = new Promise<RenderOutput>((resolve, reject) => {
      this.#clips.set(number, { onEvent, resolve, reject, denoised: false, overdue: undefined });
      this.#child?.send({ type: "render", clip: number, job });
    });
    return { output, cancel: () => this.#cancel(number), cut: () => this.#cut(number) };
  }

  #cancel(number: number): void {
    const clip = this.#clips.get(number);
    if (clip === undefined || clip.overdue !== undefined) return;
    this.#child?.send({ type: "cancel", clip: number });
    clip.overdue = setTimeout(() => {
      this.#restartReason = "cancel_timeout";
      this.#ending ??= { error: cancelledError(), clip };
      this.#child?.kill();
    }, cancelMsMax);
  }

  #cut(number: number): void {
    if (this.#clips.has(number)) this.#child?.send({ type: "cut", clip: number });
  }

  /** Ends the process at once, whatever it does, and resolves when it is gone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#clearTimer();
    const child = this.#child;
    if (child === undefined) return;
    await new Promise<void>((resolve) => {
      this.#whenGone = resolve;
      child.kill();
    });
  }

  #onMessage(message: FromEngine): void {
    switch (message.type) {
      case "opened":
        this.#info = message.info;
        this.#versions = message.versions;
        this.#failedStarts = 0;
        this.#failure = undefined;
        this.#log.info(readiness(message.info), "engine ready");
        this.#become("ready");
        break;
      case "model":
        this.#loadedModel = message.name;
        if (this.#status === "ready") this.#options.onChange(); // else "opened" follows
        break;
      case "failed":
        this.#isLost(message, undefined);
        break;
      case "clip":
        this.#onClipEvent(message.clip, message.event);
        break;
    }
  }

  #onClipEvent(number: number, event: ClipEvent): void {
    const clip = this.#clips.get(number);
    if (clip === undefined) return;
    switch (event.type) {
      case "done":
        this.#deaths = 0;
        this.#endClip(number, () => clip.resolve(event.output));
        break;
      case "failed":
        if (event.engineUsable) this.#endClip(number, () => clip.reject(errorOf(event)));
        else this.#isLost(event, clip);
        break;
      default: {
        const freed = endsDenoising(event);
        if (freed) clip.denoised = true;
        clip.onEvent(event);
        if (freed) this.#options.onChange();
      }
    }
  }

  /** The process ends by itself; should it not, it is ended. */
  #isLost(message: FailedMessage, clip: Clip | undefined): void {
    this.#ending ??= { error: errorOf(message), clip };
    if (message.code === "DEVICE_LOST") this.#restartReason = "device_lost";
    this.#setTimer(exitMsMax, () => this.#child?.kill());
  }

  #onExit(how: string): void {
    this.#clearTimer();
    this.#child = undefined;
    this.#loadedModel = "";
    const opened = this.#status === "ready";
    const ending = this.#ending;
    const error = ending?.error ?? this.#crash(how);
    this.#ending = undefined;
    if (this.#stopped) {
      this.#log.info("engine process stopped");
    } else {
      this.#log.warn({ how, code: error.code, reason: error.message }, "engine process ended");
      this.#scheduleRestart(opened, error);
    }
    const clips = [...this.#clips.values()];
    this.#clips.clear();
    for (const clip of clips) {
      clearTimeout(clip.overdue);
      clip.reject(clip.overdue === undefined ? errorFor(clip, ending, error) : cancelledError());
    }
    this.#whenGone?.();
  }

  /**
   * Tells the new status before the clip's end is told, so that nobody leases a device that
   * restarts.
   */
  #scheduleRestart(opened: boolean, error: FarmError): void {
    this.#deaths += 1;
    if (!opened) {
      this.#restartReason = "open_failed";
      this.#failedStarts += 1;
    }
    const hopeless = !opened && !error.retryable;
    if (hopeless || this.#failedStarts >= failedStartsTold) {
      this.#failure = error;
      this.#become("failed");
    } else {
      this.#become("starting");
    }
    if (hopeless) return;
    this.#options.onRestart(this.#restartReason);
    const waitMs = backoffMs(this.#deaths, this.#options.random(), restartBackoff);
    this.#setTimer(waitMs, () => this.start());
  }

  #crash(how: string): FarmError {
    const { device } = this.settings;
    return new FarmError("ENGINE_CRASH", `the engine process on ${device} died: ${how}`);
  }

  #endClip(number: number, settle: () => void): void {
    clearTimeout(this.#clips.get(number)?.overdue);
    this.#clips.delete(number);
    settle();
    this.#options.onChange();
  }

  #become(status: DeviceStatus): void {
    this.#status = status;
    this.#options.onChange();
  }

  #setTimer(waitMs: number, then: () => void): void {
    this.#clearTimer();
    this.#timer = setTimeout(then, waitMs);
  }

  #clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Where the weights came from, and how long it took, for the log. */
function readiness({ kind, notes, mappedBytes, loadSeconds }: EngineInfo) {
  const weights = mappedBytes > 0 ? "mapped from the cache" : "packed";
  return { kind, weights, mappedBytes, loadSeconds, notes };
}

/**
 * What a clip of a process that ended fails with. Who is to blame for a crash nobody knows, so it
 * counts for both; a lost device is lost for both; else the one beside is only interrupted.
 */
function errorFor(clip: Clip, ending: Ending | undefined, error: FarmError): FarmError {
  const own = ending === undefined || ending.clip === undefined || ending.clip === clip;
  if (own || error.code === "DEVICE_LOST") return error;
  const why = `its engine process had to end for another clip: ${error.message}`;
  return new FarmError("INTERRUPTED", why);
}

function errorOf({ code, message }: FailedMessage): FarmError {
  return new FarmError(code, message);
}

function cancelledError(): FarmError {
  return new FarmError("CANCELLED", "the render was cancelled; its engine process had to be ended");
}
