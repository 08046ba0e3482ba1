// What is asked of the engine, checked where the message can name the value, the bound and the
// remedy. The engine checks again what it needs to be safe, and knows the rules of each policy.
import { FarmError } from "../common/errors.js";
import type { NativePolicy, NativeRequest } from "./addon-types.js";
import type { CalibratedPolicy } from "./calibration.js";

/** All of a request that decides the plan: everything but prompt and seed. */
export interface PlanRequest {
  /** Pixel frames; 1 = an image. */
  readonly frames: number;
  /** Pixels asked for; the decoded size is 8 x floor(side / 8). */
  readonly height: number;
  readonly width: number;
  /** Conditioning value, not the rate of the file. */
  readonly fps: number;
  readonly steps: number;
  readonly guidance: number;
  /** One that the model was published with, as "ddim"; "" = the usual one. */
  readonly sampler: string;
  readonly policy: NativePolicy;
  /** Where the policy comes from a calibration: the plan warns of where that does not apply. */
  readonly calibrated?: CalibratedPolicy;
  /** L of the nominal FLOP count, a guidance half; absent = 30, as the published figures count. */
  readonly textTokens?: number;
}

/** One clip. */
export interface RenderRequest extends PlanRequest {
  /** Cleaned text, or a class. */
  readonly prompt: string;
  readonly seed: bigint;
}

/** The bounds of native/include/engine/request.h and native/pipeline/request_check.cpp. */
export const requestBounds = {
  framesMax: 4096,
  sidePixelsMin: 16, // one patch of 2 x 2 latents
  sidePixelsMax: 8192,
  stepsMax: 1000,
  fpsMin: 1,
  fpsMax: 1000,
  guidanceMax: 1000,
  // A T5 encoder sees 300 tokens at most; this is what a person could mean, with room.
  promptCharactersMax: 16_384,
  policyOptionsMax: 32,
  textTokensMax: 4096,
} as const;

/** Text tokens of the nominal FLOP count where none are given. */
export const textTokensUsual = 30;
const seedMax = 2n ** 64n - 1n;

/** A plan request as the addon takes it; throws INVALID_ARGUMENT with the bound that is broken. */
export function nativePlanRequest(request: PlanRequest): NativeRequest {
  checkPlanRequest(request);
  return { ...plainOf(request), prompt: "", seed: 0n };
}

/**
 * A render request as the addon takes it; throws INVALID_ARGUMENT with the bound that is broken.
 */
export function nativeRenderRequest(request: RenderRequest): NativeRequest {
  checkPlanRequest(request);
  checkPrompt(request.prompt);
  checkSeed(request.seed);
  const { prompt, seed } = request;
  return { ...plainOf(request), prompt, seed };
}

/** Throws INVALID_ARGUMENT unless the text is one that can be rendered. */
export function checkPrompt(prompt: string): void {
  if (prompt.trim() === "") {
    throw invalid("the prompt is empty: say what the clip shall show");
  }
  if (prompt.length > requestBounds.promptCharactersMax) {
    throw invalid(
      `the prompt has ${prompt.length} characters, ` +
        `at most ${requestBounds.promptCharactersMax} are allowed: shorten it`,
    );
  }
}

/** Throws INVALID_ARGUMENT unless the seed fits 64 bits. */
export function checkSeed(seed: bigint): void {
  if (seed < 0n || seed > seedMax) {
    throw invalid(`seed ${seed} is outside 0 to ${seedMax}`);
  }
}

function checkPlanRequest(request: PlanRequest): void {
  const { sidePixelsMin, sidePixelsMax, framesMax, stepsMax } = requestBounds;
  checkInteger("frames", request.frames, 1, framesMax);
  checkInteger("height", request.height, sidePixelsMin, sidePixelsMax);
  checkInteger("width", request.width, sidePixelsMin, sidePixelsMax);
  checkInteger("steps", request.steps, 1, stepsMax);
  checkInteger("text tokens", textTokensOf(request), 1, requestBounds.textTokensMax);
  checkNumber("fps", request.fps, requestBounds.fpsMin, requestBounds.fpsMax);
  checkNumber("guidance", request.guidance, 0, requestBounds.guidanceMax);
  checkPolicy(request.policy);
}

function checkInteger(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw invalid(`${name} is ${value}, allowed are whole numbers from ${min} to ${max}`);
  }
}

function checkNumber(name: string, value: number, min: number, max: number): void {
  if (value >= min && value <= max) return; // NaN fails both
  throw invalid(`${name} is ${value}, allowed is ${min} to ${max}`);
}

/** Names and values of policies are the engine's to judge; here only what bounds the crossing. */
function checkPolicy(policy: NativePolicy): void {
  if (policy.name === "") throw invalid('the policy has no name: "none" computes everything');
  const count = Object.keys(policy.options).length;
  if (count > requestBounds.policyOptionsMax) {
    throw invalid(
      `policy ${policy.name} has ${count} options, ` +
        `at most ${requestBounds.policyOptionsMax} are allowed`,
    );
  }
}

/** The fields by name, so that nothing else a caller's object carries crosses the native line. */
function plainOf(request: PlanRequest) {
  const { frames, height, width, fps, steps, guidance, sampler } = request;
  const { name, options } = request.policy;
  const policy = { name, options: { ...options } };
  const textTokensNominal = textTokensOf(request);
  const size = { frames, height, width };
  return { ...size, fps, steps, guidance, sampler, policy, textTokensNominal };
}

function textTokensOf({ textTokens }: PlanRequest): number {
  return textTokens ?? textTokensUsual;
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
