// Keeps one engine process on one device alive: starts it, gives it one clip at a time, ends it
// when it does not stop in time, and starts it again, ever more slowly, when it died. A clip's
// promise settles only when the process is idle again or gone, so that a report can say that its
// slot is free.
import { backoffMs } from "../common/backoff.js";
import { FarmError } from "../common/errors.js";
import type { Log } from "../common/log.js";
import type { EngineInfo } from "../engine/engine.js";
import type { EngineChild, StartEngineChild } from "./engine-child.js";
import type {
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
  /** What the engine process tells of its work. */
  readonly onEvent: (event: FromEngine) => void;
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

interface Clip {
  readonly resolve: (output: RenderOutput) => void;
  readonly reject: (error: FarmError) => void;
  cancelling: boolean;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: Log;
  #child: EngineChild | undefined;
  #status: DeviceStatus = "starting";
  #loadedModel = "";
  #info: EngineInfo | undefined;
  #versions: ProgramVersions | undefined;
  #clip: Clip | undefined;
  /** Why the child is about to end, once it has said so or was told to. */
  #ending: FarmError | undefined;
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
    const unoccupied = this.#clip === undefined && this.#ending === undefined;
    return this.#status === "ready" && unoccupied && !this.#stopped;
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

  /**
   * Renders one clip; only while idle. Rejects with the engine's error, CANCELLED after cancel,
   * INTERRUPTED after cut, or ENGINE_CRASH when the process died.
   */
  render(job: RenderJob): Promise<RenderOutput> {
    if (!this.idle) {
      const { device } = this.settings;
      return Promise.reject(new FarmError("UNAVAILABLE", `device ${device} is not idle`));
    }
    return new Promise((resolve, reject) => {
      this.#clip = { resolve, reject, cancelling: false };
      this.#child?.send({ type: "render", job });
    });
  }

  /** Stops the running clip: by the engine, or by force when it takes longer than 5 s. */
  cancel(): void {
    if (this.#clip === undefined || this.#clip.cancelling) return;
    this.#clip.cancelling = true;
    this.#child?.send({ type: "cancel" });
    this.#setTimer(cancelMsMax, () => {
      this.#restartReason = "cancel_timeout";
      this.#child?.kill();
    });
  }

  /**
   * Lets the running clip stop at its next refresh point, however long that takes; `render` then
   * rejects with INTERRUPTED, or resolves where nothing was left to cut.
   */
  cut(): void {
    if (this.#clip !== undefined) this.#child?.send({ type: "cut" });
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
      case "done":
        this.#deaths = 0;
        this.#endClip((clip) => clip.resolve(message.output));
        break;
      case "failed":
        this.#onFailed(message);
        break;
      default:
        this.#options.onEvent(message);
    }
  }

  #onFailed({ code, message, engineUsable }: FailedMessage): void {
    const error = new FarmError(code, message);
    if (engineUsable) {
      this.#endClip((clip) => clip.reject(error));
      return;
    }
    this.#ending = error;
    if (code === "DEVICE_LOST") this.#restartReason = "device_lost";
    this.#setTimer(exitMsMax, () => this.#child?.kill());
  }

  #onExit(how: string): void {
    this.#clearTimer();
    this.#child = undefined;
    this.#loadedModel = "";
    const opened = this.#status === "ready";
    const error = this.#ending ?? this.#crash(how);
    this.#ending = undefined;
    if (this.#stopped) {
      this.#log.info("engine process stopped");
    } else {
      this.#log.warn({ how, code: error.code, reason: error.message }, "engine process ended");
      this.#scheduleRestart(opened, error);
    }
    const clip = this.#clip;
    this.#clip = undefined;
    clip?.reject(clip.cancelling ? cancelledError() : error);
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

  #endClip(settle: (clip: Clip) => void): void {
    this.#clearTimer();
    const clip = this.#clip;
    this.#clip = undefined;
    if (clip !== undefined) settle(clip);
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

function cancelledError(): FarmError {
  return new FarmError("CANCELLED", "the render was cancelled; its engine process had to be ended");
}
