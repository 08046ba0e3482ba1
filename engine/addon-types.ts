// What native/bindings exports, in the order of its files. Plain data made for the crossing; null
// on purpose. Only engine/addon.ts loads
// it, only engine/engine.ts and engine/plan.ts call it.

/** bindings/info.cpp */
export interface NativeVersions {
  readonly engine: string;
  readonly onednn: string;
  /**
   * Instruction set chosen on this CPU: "baseline" | "avx2" | "avx512", and whether bf16 runs
   * natively.
   */
  readonly isa: string;
  readonly bf16Native: boolean;
  readonly sentencepiece: boolean;
}

/**
 * Texts of a model folder's config.json files, and of its model_index.json; all but the
 * transformer's may be "" when unknown.
 */
export interface NativeModelConfigs {
  readonly transformer: string;
  readonly vae: string;
  readonly textEncoder: string;
  /** Holds the names of classes, where prompts are classes. */
  readonly modelIndex: string;
}

/** See native/include/engine/model_traits.h. */
export interface NativeModelTraits {
  readonly family: "stdit3" | "pixart" | "dit";
  /** A caption, or the number or name of a class. */
  readonly prompt: "text" | "class";
  /** Frames must be 1. */
  readonly imagesOnly: boolean;
  /** Height and width must be those below. */
  readonly fixedSize: boolean;
  /** The request that the model was published with. */
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly fps: number;
  readonly guidance: number;
  /** At least one; the first is the usual one. */
  readonly samplers: readonly { readonly name: string; readonly steps: number }[];
}

export interface NativePolicy {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

/** bindings/request.cpp; see native/include/engine/request.h for units and bounds. */
export interface NativeRequest {
  /** Cleaned text, or a class. */
  readonly prompt: string;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly fps: number;
  readonly steps: number;
  readonly guidance: number;
  readonly seed: bigint;
  /** One that the model was published with; "" = the usual one. */
  readonly sampler: string;
  readonly policy: NativePolicy;
  readonly textTokensNominal: number;
}

export type NativeBlock = "spatial" | "temporal" | "joint";
export type NativeModule = "self_attention" | "cross_attention" | "mlp";
/** "conditional": every token of the conditional half of the guidance pair, none of the other. */
export type NativeDecision = "refresh" | "partial" | "reuse" | "forecast" | "conditional";
/** What a step does with the trunk: run its blocks, or put something kept in their place. */
export type NativeTrunkDecision = "run" | "reuse" | "forecast";

export interface NativePlannedModule {
  readonly layer: number;
  readonly block: NativeBlock;
  readonly module: NativeModule;
  readonly decision: NativeDecision;
  /** Computed per batch row; of a "conditional" module per row of that half. */
  readonly tokens: number;
  readonly flops: number;
}

export interface NativePlannedStep {
  readonly step: number;
  readonly timestep: number;
  /** Of a dynamic policy: if its trunk runs at this step. */
  readonly refreshPoint: boolean;
  readonly trunk: NativeTrunkDecision;
  /** Share of renders whose trunk runs at this step: 1 or 0 but for dynamic policies. */
  readonly runShare: number;
  /** Of a dynamic policy the expected ones. */
  readonly flops: number;
  readonly modules: readonly NativePlannedModule[];
}

/** bindings/plan.cpp; see native/include/engine/plan.h. */
export interface NativePlan {
  readonly family: NativeModelTraits["family"];
  readonly sampler: string;
  /** As asked for, but a preset is what it stands for. */
  readonly policy: NativePolicy;
  readonly tokens: number;
  readonly tokensPerFrame: number;
  readonly latentFrames: number;
  readonly latentHeight: number;
  readonly latentWidth: number;
  readonly outputHeight: number;
  readonly outputWidth: number;
  readonly flopsNone: number;
  readonly flops: number;
  readonly cacheBytes: number;
  /** With the text encoder in memory. */
  readonly peakBytes: number;
  /** The same while the clip before, one like it, is being decoded. */
  readonly overlappedPeakBytes: number;
  /** Where the prompt was encoded before and is kept: without the text encoder. */
  readonly peakBytesPromptKept: number;
  /** The policy decides from what it measures: FLOPs are expected, not certain. */
  readonly dynamic: boolean;
  readonly steps: readonly NativePlannedStep[];
  /**
   * Steps that a render can be resumed from, ascending; 0 is always one. The end of denoising
   * (step = number of steps) is one for every policy and not listed.
   */
  readonly refreshPoints: readonly number[];
  readonly warnings: readonly string[];
  readonly digest: string;
}

/** Where packed weights and encoded prompts are kept for later loads and other engines. */
export interface NativeCache {
  readonly folder: string;
  /** Of all packed weights together. */
  readonly weightsBytesMax: number;
}

/** bindings/engine.cpp */
export interface NativeEngineOptions {
  /** Folder with transformer/, vae/, text_encoder/, tokenizer/. */
  readonly model: string;
  /** "cpu" or "cuda:N". */
  readonly device: string;
  readonly dtype: "fp32" | "bf16";
  /** 0 = all cores that this process may use. */
  readonly threads: number;
  /** null = nothing is kept. */
  readonly cache: NativeCache | null;
}

export interface NativeEngineInfo {
  /** Same kind = same bits: backend, chip, instruction set, dtype, engine and library versions. */
  readonly kind: string;
  readonly deviceName: string;
  readonly memoryBytes: number;
  readonly weightsDigest: string;
  readonly weightsBytes: number;
  /** Of packed weights that were taken from the cache. */
  readonly mappedBytes: number;
  readonly loadSeconds: number;
  readonly notes: readonly string[];
}

/** One line of a step's report for each module call. */
export interface NativeModuleReport {
  readonly layer: number;
  readonly block: NativeBlock;
  readonly module: NativeModule;
  readonly decision: NativeDecision;
  /** Over all batch rows; computed + reused = tokens that passed. */
  readonly tokensComputed: number;
  readonly tokensReused: number;
  readonly seconds: number;
  readonly flops: number;
  /**
   * Relative L1 of what was reused against what is computed, over a fixed sample of rows, of a
   * refresh whose cache had been in use; else null.
   */
  readonly drift: number | null;
  /** [batch rows][computed tokens], only with traceIndices; else null. */
  readonly indices: readonly (readonly number[])[] | null;
}

/** Everything a render tells while it runs, in order. */
export type NativeEvent =
  | {
      readonly type: "stage";
      readonly stage: "text_encode" | "denoise" | "decode";
      readonly seconds: number;
    }
  | {
      readonly type: "step";
      readonly step: number;
      readonly steps: number;
      readonly timestep: number;
      readonly trunk: NativeTrunkDecision;
      readonly seconds: number;
      readonly flops: number;
      readonly flopsNone: number;
      readonly modules: readonly NativeModuleReport[];
    }
  | {
      /** The render can be resumed before `step`; equal to the number of steps: to decode. */
      readonly type: "checkpoint";
      readonly step: number;
      readonly path: string;
    }
  | {
      /** A checkpoint could not be written; the render goes on without it. */
      readonly type: "checkpoint_failed";
      readonly step: number;
      readonly message: string;
    }
  | {
      readonly type: "frames";
      /** Index of the first frame. */
      readonly first: number;
      readonly count: number;
      readonly height: number;
      readonly width: number;
      /** [count, height, width, 3], rgb. */
      readonly rgb: Uint8Array;
    };

export interface NativeRenderOptions {
  readonly request: NativeRequest;
  /**
   * A safetensors file with a tensor "latent" or "z" [1, 4, T, h, w]; null = drawn from the seed.
   */
  readonly initialLatent: string | null;
  /** Where the final latent goes (tensor "latent", safetensors); null = nowhere. */
  readonly saveLatent: string | null;
  readonly traceIndices: boolean;
  /** A checkpoint of the same clip, of this kind of device; null = begin at step 0. */
  readonly resumeFrom: string | null;
  /** Where checkpoint-<step>.safetensors go; null = none are made. */
  readonly checkpointFolder: string | null;
  /** At least so long between two checkpoints; 0 = at each refresh point. */
  readonly checkpointPeriodSeconds: number;
}

export interface NativeRenderResult {
  readonly seconds: number;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly peakBytes: number;
  /** The prompt was not encoded, but taken from the cache. */
  readonly promptKept: boolean;
}

/** See native/include/engine/record.h. */
export interface NativeModuleChanges {
  readonly layer: number;
  readonly block: NativeBlock;
  readonly module: NativeModule;
  /** Against the step before, the one before that, and so on, as far as steps are kept. */
  readonly changes: readonly number[];
}

/** What one step of a render that computes everything changes. */
export interface NativeStepRecord {
  readonly step: number;
  /** 0 to 1000. */
  readonly timestep: number;
  /** Size of the residual stream after the last block. */
  readonly stream: number;
  /** Of what all blocks add to the stream; as the modules' changes. */
  readonly trunk: readonly number[];
  /**
   * By how much the frames are others (mean absolute difference of values of 0 to 255) when only
   * this step reuses what the trunk added in the step before; 0 at step 0.
   */
  readonly output: number;
  /** In order of execution. */
  readonly modules: readonly NativeModuleChanges[];
}

/** Between two clips' values of 0 to 255. */
export interface NativeFrameDifference {
  readonly meanAbsolute: number;
  readonly rootMeanSquare: number;
}

/** One render while it runs; after its end nothing of this does anything. */
export interface NativeRender {
  readonly result: Promise<NativeRenderResult>;
  /** The render rejects with code CANCELLED within a block. */
  cancel(): void;
  /**
   * The render rejects with code INTERRUPTED once it has told of a checkpoint that is newer than
   * what it began from, or within a block when there can be none.
   */
  cut(): void;
  /**
   * One "frames" event has been consumed. After such an event the engine goes on decoding only
   * while fewer than two of them have not been: back-pressure for the encoder.
   */
  releaseFrames(): void;
}

export interface NativeEngine {
  info(): NativeEngineInfo;
  /**
   * Renders one clip on the engine's own threads: on one to the end of its "denoise" stage, on
   * another one from there, while the first may begin the next clip. So two may run at a time; one
   * that is begun too early waits. Events come in order on the JS thread.
   */
  render(options: NativeRenderOptions, onEvent: (event: NativeEvent) => void): NativeRender;
  /**
   * Renders a clip under policy none, and once more from every step on with that step reused, and
   * says what the steps change; nothing else may run meanwhile, and cancel() stops it.
   */
  record(
    request: NativeRequest,
    onStep: (done: number, total: number) => void,
  ): Promise<readonly NativeStepRecord[]>;
  /** How far the clip is under each policy from its own under none; as record(). */
  compare(
    request: NativeRequest,
    policies: readonly NativePolicy[],
    onStep: (done: number, total: number) => void,
  ): Promise<readonly NativeFrameDifference[]>;
  /** Whatever runs rejects with code CANCELLED; nothing happens when nothing does. */
  cancel(): void;
  /** Frees weights and threads; waits for what runs, which is cancelled. */
  close(): Promise<void>;
}

export interface NativeAddon {
  versions(): NativeVersions;
  /** Pure. Throws INVALID_CHECKPOINT, and UNSUPPORTED with the name of an unknown model. */
  describeModel(configs: NativeModelConfigs): NativeModelTraits;
  /** Throws INVALID_ARGUMENT with the first prompt that is no class of a model of classes. */
  checkPrompts(configs: NativeModelConfigs, prompts: readonly string[]): void;
  /** Pure: no weights, no device. Throws INVALID_ARGUMENT with the bound that is broken. */
  plan(configs: NativeModelConfigs, request: NativeRequest, dtype: "fp32" | "bf16"): NativePlan;
  /** Loads a model on a new engine thread. */
  createEngine(options: NativeEngineOptions): Promise<NativeEngine>;
  /**
   * SHA-256 over all weights of a model folder, container-independent; read on a thread of its own.
   * A cache folder spares reading files that have not changed; null = none.
   */
  weightsDigest(model: string, cacheFolder: string | null): Promise<string>;
}
