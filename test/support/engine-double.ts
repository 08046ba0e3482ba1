// TEST DOUBLE of the native addon, loaded through TOCAFARM_ADDON by tests of the worker: it draws a
// moving pattern instead of running a model, so that a clip takes as long as a test wants. It keeps
// the addon's promises (events in order, back-pressure, cancel) and breaks them on demand: words in
// the prompt make it fail. Never part of the product.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type {
  NativeAddon,
  NativeEngine,
  NativeEngineInfo,
  NativeEngineOptions,
  NativeEvent,
  NativeModelConfigs,
  NativeModelTraits,
  NativeModule,
  NativeModuleReport,
  NativePlan,
  NativePlannedModule,
  NativeRender,
  NativeRenderOptions,
  NativeRenderResult,
  NativeRequest,
} from "../../engine/addon-types.js";

/** Milliseconds that a step takes. */
const stepMs = Number(process.env["TOCAFARM_DOUBLE_STEP_MS"] ?? 2);
/** "opening": every engine fails to open with INVALID_CHECKPOINT. */
const fault = process.env["TOCAFARM_DOUBLE_FAULT"] ?? "";

const framesPerGroup = 17;
const modules: readonly NativeModule[] = ["self_attention", "cross_attention", "mlp"];
const blocks = ["spatial", "temporal"] as const;
const weightsBytes = 1000;

function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

function depthOf(configs: NativeModelConfigs): number {
  const config: { depth?: number } = JSON.parse(configs.transformer);
  return config.depth ?? 1;
}

export const versions: NativeAddon["versions"] = () => ({
  engine: "double",
  onednn: "none",
  isa: "baseline",
  bf16Native: false,
  sentencepiece: false,
});

/** Every third step refreshes; between, the MLP is partial and the rest reused. */
function plannedModules(depth: number, step: number, tokens: number): NativePlannedModule[] {
  const planned: NativePlannedModule[] = [];
  for (let layer = 0; layer < depth; layer += 1) {
    for (const block of blocks) {
      for (const module of modules) {
        const partial = module === "mlp" ? "partial" : "reuse";
        const decision = step % 3 === 0 ? "refresh" : partial;
        const share = { refresh: 1, partial: 0.5, reuse: 0 }[decision];
        const computed = Math.floor(tokens * share);
        planned.push({ layer, block, module, decision, tokens: computed, flops: computed * 100 });
      }
    }
  }
  return planned;
}

const traits: NativeModelTraits = {
  family: "stdit3",
  prompt: "text",
  imagesOnly: false,
  fixedSize: false,
  ...{ frames: 17, height: 64, width: 64, fps: 8, guidance: 7 },
  samplers: [{ name: "rflow", steps: 4 }],
};

export function describeModel(): NativeModelTraits {
  return traits;
}

export function checkPrompts(): void {}

export function plan(configs: NativeModelConfigs, request: NativeRequest): NativePlan {
  if (request.policy.name !== "none" && request.policy.name !== "toca") {
    throw coded("INVALID_ARGUMENT", `policy ${request.policy.name} is unknown`);
  }
  const latentHeight = Math.floor(request.height / 8);
  const latentWidth = Math.floor(request.width / 8);
  const tokensPerFrame = latentHeight * latentWidth;
  const tokens = tokensPerFrame * request.frames;
  const depth = depthOf(configs);
  const steps = Array.from({ length: request.steps }, (_, step) => {
    const planned = plannedModules(depth, request.policy.name === "none" ? 0 : step, tokens);
    const flops = planned.reduce((sum, module) => sum + module.flops, 0);
    const decided = { refreshPoint: true, trunk: "run", runShare: 1 } as const;
    return { step, timestep: 1000 - step, ...decided, flops, modules: planned };
  });
  const { prompt, seed, ...rest } = request;
  return {
    family: traits.family,
    sampler: "rflow",
    policy: request.policy,
    tokens,
    tokensPerFrame,
    latentFrames: request.frames,
    latentHeight,
    latentWidth,
    outputHeight: latentHeight * 8,
    outputWidth: latentWidth * 8,
    flopsNone: request.steps * depth * 6 * tokens * 100,
    flops: steps.reduce((sum, step) => sum + step.flops, 0),
    cacheBytes: tokens,
    peakBytes: weightsBytes + tokens,
    peakBytesPromptKept: weightsBytes + tokens,
    overlappedPeakBytes: weightsBytes + 2 * tokens,
    dynamic: false,
    steps,
    refreshPoints: steps.map(({ step }) => step),
    warnings: [],
    digest: createHash("sha256").update(JSON.stringify(rest)).digest("hex"),
  };
}

export async function weightsDigest(model: string): Promise<string> {
  return createHash("sha256")
    .update(model.split("/").at(-1) ?? "")
    .digest("hex");
}

export async function createEngine(options: NativeEngineOptions): Promise<NativeEngine> {
  if (fault === "opening") throw coded("INVALID_CHECKPOINT", "the weights are damaged");
  return new EngineDouble({
    kind: `double ${options.dtype}`,
    deviceName: "test double",
    memoryBytes: 2 ** 30,
    weightsDigest: await weightsDigest(options.model),
    ...{ weightsBytes, mappedBytes: 0 },
    loadSeconds: 0.001,
    notes: [],
  });
}

class EngineDouble implements NativeEngine {
  readonly #info: NativeEngineInfo;
  readonly #running = new Set<RenderDouble>();
  /** The clip before is denoised, or has ended. */
  #free: Promise<void> = Promise.resolve();

  constructor(info: NativeEngineInfo) {
    this.#info = info;
  }

  info(): NativeEngineInfo {
    return this.#info;
  }

  render(options: NativeRenderOptions, onEvent: (event: NativeEvent) => void): NativeRender {
    if (this.#running.size === 2) throw coded("INVALID_ARGUMENT", "two clips are in work");
    const render = new RenderDouble(options, onEvent);
    this.#running.add(render);
    const denoised = this.#free.then(() => render.denoise());
    this.#free = denoised.catch(() => {});
    const result = denoised.then(() => render.finish()).finally(() => this.#running.delete(render));
    return {
      result,
      cancel: () => render.cancel(),
      cut: () => render.cut(),
      releaseFrames: () => render.releaseFrames(),
    };
  }

  /** It has no numbers that could be recorded or compared. */
  async record(): Promise<never> {
    throw coded("UNSUPPORTED", "the test double records nothing");
  }

  async compare(): Promise<never> {
    throw coded("UNSUPPORTED", "the test double compares nothing");
  }

  cancel(): void {
    for (const render of this.#running) render.cancel();
  }

  async close(): Promise<void> {
    this.cancel();
  }
}

class RenderDouble {
  readonly #options: NativeRenderOptions;
  readonly #onEvent: (event: NativeEvent) => void;
  #cancelled = false;
  #cut = false;
  #groupsOut = 0;
  #onRelease: (() => void) | undefined;

  constructor(options: NativeRenderOptions, onEvent: (event: NativeEvent) => void) {
    this.#options = options;
    this.#onEvent = onEvent;
  }

  async denoise(): Promise<void> {
    const options = this.#options;
    const onEvent = this.#onEvent;
    const { request } = options;
    const start = options.resumeFrom === null ? 0 : resumedStep(options.resumeFrom, request);
    const checkpoints = { ...options, start, savedAtMs: performance.now(), onEvent };
    if (request.prompt.includes("outofmemory")) throw coded("OUT_OF_MEMORY", "no room for that");
    onEvent({ type: "stage", stage: "text_encode", seconds: 0.001 });
    for (let step = start; step < request.steps; step += 1) {
      this.#betweenSteps(step, checkpoints);
      await this.#pause(request.prompt);
      if (request.prompt.includes("losedevice") && step === 2) {
        throw coded("DEVICE_LOST", "the device fell off the bus");
      }
      onEvent(stepEvent(request, step, options.traceIndices));
    }
    this.#betweenSteps(request.steps, checkpoints);
    onEvent({ type: "stage", stage: "denoise", seconds: (request.steps * stepMs) / 1000 });
    if (options.saveLatent !== null) writeFileSync(options.saveLatent, `latent ${request.seed}`);
  }

  async finish(): Promise<NativeRenderResult> {
    const { request } = this.#options;
    const size = await this.#decode(request, this.#onEvent);
    this.#onEvent({ type: "stage", stage: "decode", seconds: 0.001 });
    return { seconds: 1, frames: request.frames, ...size, peakBytes: 1000, promptKept: false };
  }

  releaseFrames(): void {
    this.#groupsOut -= 1;
    this.#onRelease?.();
  }

  cancel(): void {
    this.#cancelled = true;
    this.#onRelease?.();
  }

  cut(): void {
    this.#cut = true;
  }

  /** Every step is a refresh point here, so a cut takes effect before the next one. */
  #betweenSteps(step: number, checkpoints: Checkpoints): void {
    const { checkpointFolder, checkpointPeriodSeconds, request, start, onEvent } = checkpoints;
    const dueAtMs = checkpoints.savedAtMs + checkpointPeriodSeconds * 1000;
    const cut = this.#cut && !request.prompt.includes("uncut");
    const due = cut || performance.now() >= dueAtMs;
    if (checkpointFolder !== null && step > start && due) {
      const path = join(checkpointFolder, `checkpoint-${step}.safetensors`);
      writeFileSync(path, `${step} ${request.seed}`);
      checkpoints.savedAtMs = performance.now();
      onEvent({ type: "checkpoint", step, path });
    }
    if (cut) throw coded("INTERRUPTED", `the render was cut before step ${step}`);
  }

  async #decode(request: NativeRequest, onEvent: (event: NativeEvent) => void) {
    const height = Math.floor(request.height / 8) * 8;
    const width = Math.floor(request.width / 8) * 8;
    for (let first = 0; first < request.frames; first += framesPerGroup) {
      while (this.#groupsOut >= 2 && !this.#cancelled) {
        await new Promise<void>((resolve) => {
          this.#onRelease = resolve;
        });
      }
      this.#throwIfCancelled(request.prompt);
      const count = Math.min(framesPerGroup, request.frames - first);
      const rgb = pattern({ first, count, height, width, seed: Number(request.seed % 251n) });
      this.#groupsOut += 1;
      onEvent({ type: "frames", first, count, height, width, rgb });
    }
    return { height, width };
  }

  async #pause(prompt: string): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, stepMs));
    this.#throwIfCancelled(prompt);
  }

  #throwIfCancelled(prompt: string): void {
    if (this.#cancelled && !prompt.includes("deaf")) throw coded("CANCELLED", "cancelled");
  }
}

interface Checkpoints extends NativeRenderOptions {
  readonly start: number;
  savedAtMs: number;
  readonly onEvent: (event: NativeEvent) => void;
}

function resumedStep(path: string, request: NativeRequest): number {
  const [step, seed] = readFileSync(path, "utf8").split(" ");
  if (seed !== `${request.seed}`) {
    throw coded("INVALID_CHECKPOINT", `the checkpoint ${path} is not of this clip`);
  }
  return Number(step);
}

function stepEvent(request: NativeRequest, step: number, withIndices: boolean): NativeEvent {
  const tokens = Math.floor(request.height / 8) * Math.floor(request.width / 8) * request.frames;
  const depth = Number(process.env["TOCAFARM_DOUBLE_DEPTH"] ?? 6);
  const turn = request.policy.name === "none" ? 0 : step;
  const reports = plannedModules(depth, turn, tokens).map((planned): NativeModuleReport => {
    const { layer, block, module, decision, flops } = planned;
    const indices =
      withIndices && decision === "partial"
        ? [
            [0, 1],
            [0, 1],
          ]
        : null;
    const tokensComputed = 2 * planned.tokens;
    const tokensReused = 2 * tokens - tokensComputed;
    const seconds = stepMs / 1000 / 36;
    return {
      layer,
      block,
      module,
      decision,
      tokensComputed,
      tokensReused,
      seconds,
      flops,
      drift: null,
      indices,
    };
  });
  return {
    type: "step",
    step,
    steps: request.steps,
    timestep: 1000 - step,
    trunk: "run",
    seconds: stepMs / 1000,
    flops: reports.reduce((sum, report) => sum + report.flops, 0),
    flopsNone: depth * 6 * tokens * 100,
    modules: reports,
  };
}

interface PatternOptions {
  readonly first: number;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly seed: number;
}

/** Stripes that move a pixel a frame. */
function pattern({ first, count, height, width, seed }: PatternOptions): Uint8Array {
  const rgb = new Uint8Array(count * height * width * 3);
  let at = 0;
  for (let frame = first; frame < first + count; frame += 1) {
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        rgb[at] = (x + frame + seed) % 256;
        rgb[at + 1] = (y * 2 + seed) % 256;
        rgb[at + 2] = (x + y + frame * 3) % 256;
        at += 3;
      }
    }
  }
  return rgb;
}
