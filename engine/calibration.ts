// What a policy was calibrated for, held against what it is asked to do. A schedule that was found
// with other steps, another size or another model still runs, but nobody knows how well: the plan
// says so.
import { counted } from "../common/counted.js";
import type { NativePlan } from "./addon-types.js";
import type { PlanRequest } from "./request.js";

/** As a policy file states it; what is absent is not said. */
export interface Calibration {
  readonly model?: string | undefined;
  /** Of the model's weights. */
  readonly modelDigest?: string | undefined;
  readonly steps?: number | undefined;
  /** Pixels asked for. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly frames?: number | undefined;
  readonly sampler?: string | undefined;
}

/** A calibration and the model that its policy is asked to run on. */
export interface CalibratedPolicy {
  readonly calibration: Calibration;
  readonly model: string;
  /** Of its weights; absent where only their owner knows it. */
  readonly modelDigest?: string;
}

const digestCharacters = 12;

/** At most one sentence, with every value that differs. */
export function calibrationWarnings(
  request: Omit<PlanRequest, "textTokens">,
  plan: Pick<NativePlan, "policy" | "sampler">,
): readonly string[] {
  const { calibrated } = request;
  if (calibrated === undefined) return [];
  const { steps, width, height, frames, sampler } = calibrated.calibration;
  const size = width === undefined || height === undefined ? undefined : `${height}x${width}`;
  // A schedule that names its number of steps is judged by the policy itself.
  const ownSteps = Object.keys(plan.policy.options).some((name) => /(^|\.)for_steps$/.test(name));
  const differing = [
    differingModel(calibrated),
    ownSteps ? undefined : differs(steps, request.steps, (count) => counted(count, "step")),
    differs(size, `${request.height}x${request.width}`),
    differs(frames, request.frames, (count) => counted(count, "frame")),
    differs(sampler, plan.sampler),
  ].filter((text) => text !== undefined);
  if (differing.length === 0) return [];
  return [
    `policy ${plan.policy.name} was calibrated for other renders than this one: ` +
      `${differing.join("; ")}. Calibrate anew, or see with tocafarm compare what it does`,
  ];
}

/** The digest decides where both sides know it: a folder may have any name. */
function differingModel({ calibration, model, modelDigest }: CalibratedPolicy): string | undefined {
  const { model: name, modelDigest: digest } = calibration;
  if (digest === undefined || modelDigest === undefined) return differs(name, model);
  if (digest === modelDigest) return undefined;
  const known = name === undefined ? "weights" : `${name} with weights`;
  return (
    `${known} ${digest.slice(0, digestCharacters)}, not ${model} with ` +
    modelDigest.slice(0, digestCharacters)
  );
}

function differs<Value>(
  calibrated: Value | undefined,
  asked: Value,
  write: (value: Value) => string = String,
): string | undefined {
  if (calibrated === undefined || calibrated === asked) return undefined;
  return `${write(calibrated)}, not ${asked}`;
}
