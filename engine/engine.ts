// One engine on one device, as TypeScript sees it: arguments are checked before they cross the
// native line, and what the addon throws comes back as a FarmError. A clip may be begun when the
// one before is denoised: that is decoded meanwhile.
import { FarmError } from "../common/errors.js";
import { loadAddon } from "./addon.js";
import type {
  NativeCache,
  NativeEngine,
  NativeEngineInfo,
  NativeEngineOptions,
  NativeEvent,
  NativeFrameDifference,
  NativePolicy,
  NativeRenderOptions,
  NativeRenderResult,
  NativeStepRecord,
  NativeVersions,
} from "./addon-types.js";
import { translated, translatedAsync } from "./errors.js";
import { nativeRenderRequest, type RenderRequest } from "./request.js";

export type {
  NativeBlock as Block,
  NativeCache as EngineCache,
  NativeEngineInfo as EngineInfo,
  NativeEngineOptions as EngineOptions,
  NativeEvent as EngineEvent,
  NativeFrameDifference as FrameDifference,
  NativeModule as Module,
  NativeModuleReport as ModuleReport,
  NativeRenderResult as RenderResult,
  NativeStepRecord as StepRecord,
  NativeVersions as EngineVersions,
} from "./addon-types.js";
export type { RenderRequest } from "./request.js";

/** Clips that an engine has in work at most: one is denoised, one is decoded and written. */
export const clipsInWorkMax = 2;
// More threads than this on one device is a mistake in a command line.
const threadsMax = 1024;

/** How one clip is rendered, apart from what it shows. */
export interface RenderOptions {
  readonly request: RenderRequest;
  /** A safetensors file with a tensor "latent" or "z"; null = drawn from the seed. */
  readonly initialLatentPath: string | null;
  /** Where the final latent goes; null = nowhere. */
  readonly saveLatentPath: string | null;
  /** Report the indices of the computed tokens with each module call. */
  readonly traceIndices: boolean;
  /**
   * A checkpoint of the same clip, made on this kind of device; null = begin at step 0. One that
   * does not fit is refused with INVALID_CHECKPOINT and a message that begins "the checkpoint".
   */
  readonly resumeFromPath: string | null;
  /** Where checkpoint-<step>.safetensors go, for the caller to remove; null = none are made. */
  readonly checkpointFolder: string | null;
  /** At least so long between two checkpoints; 0 = at each refresh point. */
  readonly checkpointPeriodSeconds: number;
}

/** A clip in work; after its end the methods do nothing. */
export interface Render {
  /**
   * Rejects with CANCELLED after cancel, with INTERRUPTED after cut, and with what went wrong.
   */
  readonly result: Promise<NativeRenderResult>;
  /** Stops within a block. */
  cancel(): void;
  /**
   * The render goes on to its next refresh point and writes a checkpoint; it stops at once when
   * nothing newer than what it began from can be kept.
   */
  cut(): void;
  /** Says that one "frames" event has been consumed. */
  releaseFrames(): void;
}

/** Weights on a device with threads of its own; `close` frees both. */
export class Engine {
  readonly info: NativeEngineInfo;
  readonly #native: NativeEngine;
  #running = 0;

  private constructor(native: NativeEngine, info: NativeEngineInfo) {
    this.#native = native;
    this.info = info;
  }

  /**
   * Loads a model; throws INVALID_CHECKPOINT, NOT_FOUND, OUT_OF_MEMORY, UNSUPPORTED, DEVICE_LOST.
   */
  static async create(options: NativeEngineOptions): Promise<Engine> {
    checkDevice(options.device);
    checkThreads(options.threads);
    const native = await translatedAsync(() => loadAddon().createEngine(options));
    return new Engine(
      native,
      translated(() => native.info()),
    );
  }

  /**
   * Renders one clip; events come in order. After a "frames" event the engine goes on only while
   * fewer than two frame groups wait for releaseFrames. Two may run at a time: the second one is
   * begun when the first has told the end of its stage "denoise". Throws INVALID_ARGUMENT, and
   * FAILED_PRECONDITION when two run.
   */
  render(options: RenderOptions, onEvent: (event: NativeEvent) => void): Render {
    this.#checkRoom(clipsInWorkMax - 1);
    const native = nativeRenderOptions(options);
    const render = translated(() => this.#native.render(native, onEvent));
    return {
      result: this.#counted(() => render.result),
      cancel: () => render.cancel(),
      cut: () => render.cut(),
      releaseFrames: () => render.releaseFrames(),
    };
  }

  /**
   * Renders one clip with everything computed, and once more from every step on with that step's
   * trunk reused: how far steps and modules are from earlier ones, and what it matters. That is
   * half as many renders as there are steps, and one. The request's policy must be none. `onStep`
   * is told of the steps done and of all there will be. Rejects with CANCELLED after cancel.
   */
  async record(
    request: RenderRequest,
    onStep: (done: number, total: number) => void,
  ): Promise<readonly NativeStepRecord[]> {
    const native = nativeRenderRequest(request);
    return this.#alone(() => this.#native.record(native, onStep));
  }

  /** How far the clip is under each policy from its own under none, in order; as record. */
  async compare(
    request: RenderRequest,
    policies: readonly NativePolicy[],
    onStep: (done: number, total: number) => void,
  ): Promise<readonly NativeFrameDifference[]> {
    for (const policy of policies) nativeRenderRequest({ ...request, policy });
    const native = nativeRenderRequest(request);
    return this.#alone(() => this.#native.compare(native, policies, onStep));
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    this.#checkRoom(0);
    return this.#counted(work);
  }

  #checkRoom(others: number): void {
    if (this.#running <= others) return;
    throw new FarmError(
      "FAILED_PRECONDITION",
      `the engine has ${this.#running} clips in work, beside this one may be ${others}`,
    );
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    this.#running += 1;
    try {
      return await translatedAsync(work);
    } finally {
      this.#running -= 1;
    }
  }

  /** Whatever runs rejects with CANCELLED within a block; nothing happens when nothing does. */
  cancel(): void {
    this.#native.cancel();
  }

  /** Frees weights and threads; what runs is cancelled and waited for. */
  async close(): Promise<void> {
    await translatedAsync(() => this.#native.close());
  }
}

/** Throws INVALID_ARGUMENT with the bound that is broken. */
export function nativeRenderOptions(options: RenderOptions): NativeRenderOptions {
  checkCheckpointPeriod(options.checkpointPeriodSeconds);
  return {
    request: nativeRenderRequest(options.request),
    initialLatent: checkedPath("initial latent", options.initialLatentPath),
    saveLatent: checkedPath("final latent", options.saveLatentPath),
    traceIndices: options.traceIndices,
    resumeFrom: checkedPath("checkpoint", options.resumeFromPath),
    checkpointFolder: checkedPath("checkpoint folder", options.checkpointFolder),
    checkpointPeriodSeconds: options.checkpointPeriodSeconds,
  };
}

/** Versions of the engine and its libraries, and the instruction set of this CPU. */
export function engineVersions(): NativeVersions {
  return translated(() => loadAddon().versions());
}

/**
 * SHA-256 over all weights of a model folder, the same for every container format. With a cache,
 * files that have not changed since are not read again.
 */
export async function weightsDigest(modelPath: string, cache: NativeCache | null): Promise<string> {
  return translatedAsync(() => loadAddon().weightsDigest(modelPath, cache?.folder ?? null));
}

/** Throws INVALID_ARGUMENT unless the name is "cpu" or "cuda:N". */
export function checkDevice(device: string): void {
  if (!/^(cpu|cuda:\d{1,3})$/.test(device)) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `device ${JSON.stringify(device)} is unknown: use "cpu" or "cuda:N"`,
    );
  }
}

/** Throws INVALID_ARGUMENT unless the count is whole and bounded; 0 = all cores allowed. */
export function checkThreads(threads: number): void {
  if (!Number.isInteger(threads) || threads < 0 || threads > threadsMax) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `threads is ${threads}, allowed are whole numbers from 0 (all cores) to ${threadsMax}`,
    );
  }
}

/** Throws INVALID_ARGUMENT unless the seconds are finite and not negative. */
export function checkCheckpointPeriod(seconds: number): void {
  if (seconds >= 0 && seconds < Number.POSITIVE_INFINITY) return; // NaN fails the first
  throw new FarmError(
    "INVALID_ARGUMENT",
    `the checkpoint period is ${seconds} seconds, allowed is 0 (each refresh point) and more`,
  );
}

/** The addon knows no empty path, and a NUL would cut it short below the native line. */
function checkedPath(what: string, path: string | null): string | null {
  if (path === null || (path !== "" && !path.includes("\0"))) return path;
  throw new FarmError(
    "INVALID_ARGUMENT",
    `the path of the ${what} is ${JSON.stringify(path)}: name a file, or null for none`,
  );
}
