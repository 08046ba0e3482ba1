// What agent and engine process say to each other over the IPC channel: small messages only. Frames
// go into FFmpeg, files lie in the attempt's folder, and step reports are summed before they
// travel.
import type { ErrorCode } from "../common/errors.js";
import type { Block, EngineCache, EngineInfo, EngineVersions, Module } from "../engine/engine.js";
import type { Dtype, ModelConfigs, ModelTraits, PlanRequest } from "../engine/plan.js";
import type { PromptScores } from "../engine/prompt.js";

/** A model folder, as an engine process needs to know it. */
export interface ModelRef {
  readonly name: string;
  readonly path: string;
  readonly configs: ModelConfigs;
  readonly traits: ModelTraits;
}

/** How an engine is made. */
export interface DeviceSettings {
  /** "cpu" or "cuda:N". */
  readonly device: string;
  readonly dtype: Dtype;
  /** 0 = all cores that the process may use. */
  readonly threads: number;
  /** null = nothing is kept. */
  readonly cache: EngineCache | null;
}

export type TraceLevel = "none" | "modules" | "indices";

/** One clip for an engine process. */
export interface RenderJob {
  readonly model: ModelRef;
  readonly plan: PlanRequest;
  /** As submitted: the engine process appends the scores and cleans. */
  readonly prompt: string;
  readonly scores: PromptScores;
  readonly seed: bigint;
  /** Frames a second of the written file. */
  readonly saveFps: number;
  readonly initialLatentPath: string | null;
  /** A checkpoint to go on from; null = begin at step 0. */
  readonly resumeFromPath: string | null;
  /** The first step to do: of the checkpoint, else 0. */
  readonly firstStep: number;
  /** At least so long between two checkpoints; 0 = at each refresh point. */
  readonly checkpointPeriodSeconds: number;
  readonly saveLatent: boolean;
  /** Keep a video's frames without loss too. */
  readonly saveFrames: boolean;
  readonly trace: TraceLevel;
  /** The attempt's own folder; it exists and is empty. */
  readonly folder: string;
}

/**
 * From the agent. `open` is always first; `clip` is a number of the agent's for each clip. The next
 * one comes when the one before is denoised, or has ended.
 */
export type ToEngine =
  | { readonly type: "open"; readonly settings: DeviceSettings; readonly model: ModelRef }
  | { readonly type: "render"; readonly clip: number; readonly job: RenderJob }
  | { readonly type: "cancel"; readonly clip: number }
  /** Stop at the next refresh point, with a checkpoint; answered by "failed" with INTERRUPTED. */
  | { readonly type: "cut"; readonly clip: number };

/** Stages of a clip in an engine process, in order; the agent adds "upload". */
export type EngineStage = "load" | "text_encode" | "denoise" | "decode" | "encode";

/** What one module of one layer did since the last message. */
export interface ModuleDelta {
  readonly layer: number;
  readonly block: Block;
  readonly module: Module;
  readonly calls: number;
  readonly tokensComputed: number;
  readonly tokensReused: number;
  readonly seconds: number;
  readonly flops: number;
  /** Of the newest refresh of a cache that had been in use; null when there was none. */
  readonly drift: number | null;
}

/** A few steps, summed. */
export interface StepsMessage {
  readonly type: "steps";
  /** Steps done. */
  readonly step: number;
  readonly steps: number;
  /** Of each step since the last message. */
  readonly stepSeconds: readonly number[];
  readonly flops: number;
  readonly flopsNone: number;
  readonly modules: readonly ModuleDelta[];
}

/**
 * The file that the encoder wrote, and the smaller ones beside it, by name in the attempt's folder.
 */
export interface RenderOutput {
  /** "video.mp4" or "image.png". */
  readonly media: string;
  /** Beside the media, in the order in which they are reported: profile, latent, trace, frames. */
  readonly others: readonly string[];
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly cleanedPrompt: string;
  readonly sampler: string;
  readonly planDigest: string;
  readonly weightsDigest: string;
  readonly kind: string;
}

export interface FailedMessage {
  readonly type: "failed";
  readonly code: ErrorCode;
  readonly message: string;
  /** False: the process ends by itself, its engine is lost. */
  readonly engineUsable: boolean;
}

/** From the engine process. */
export type FromEngine =
  | { readonly type: "opened"; readonly info: EngineInfo; readonly versions: ProgramVersions }
  /** Whose weights it holds now; "" = none, since others are about to be loaded. */
  | { readonly type: "model"; readonly name: string }
  /** It could not be opened. */
  | FailedMessage
  | { readonly type: "clip"; readonly clip: number; readonly event: ClipEvent };

/** What becomes of one clip, in order; the last is "done" or "failed". */
export type ClipEvent =
  | { readonly type: "stage"; readonly stage: EngineStage }
  | { readonly type: "stage_ended"; readonly stage: EngineStage; readonly seconds: number }
  /** Of a caption: it was not encoded, but kept from before. */
  | { readonly type: "prompt"; readonly kept: boolean }
  | StepsMessage
  /** A file in the attempt's folder from which the render can go on; the steps came before. */
  | { readonly type: "checkpoint"; readonly step: number; readonly path: string }
  /** It could not be written; the render goes on without it. */
  | { readonly type: "checkpoint_failed"; readonly step: number; readonly message: string }
  | { readonly type: "done"; readonly output: RenderOutput }
  | FailedMessage;

/** What decides the bits of a clip beside the request. */
export interface ProgramVersions extends EngineVersions {
  readonly ffmpeg: string;
}
