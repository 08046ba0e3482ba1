// The plan of a request: what a policy will do step by step, with FLOPs and memory, worked out from
// config texts alone. The engine executes it, `estimate` prints it, the coordinator stores its
// figures: one source. This file is all of engine/ that the coordinator sees.
import { loadAddon } from "./addon.js";
import type { NativeModelConfigs, NativeModelTraits, NativePlan } from "./addon-types.js";
import { calibrationWarnings } from "./calibration.js";
import { translated } from "./errors.js";
import { nativePlanRequest, type PlanRequest } from "./request.js";

export type {
  NativeBlock as Block,
  NativeDecision as Decision,
  NativeModelConfigs as ModelConfigs,
  NativeModelTraits as ModelTraits,
  NativeModule as Module,
  NativePlan as Plan,
  NativePlannedModule as PlannedModule,
  NativePlannedStep as PlannedStep,
  NativePolicy as Policy,
} from "./addon-types.js";
export type { CalibratedPolicy, Calibration } from "./calibration.js";
export {
  checkPrompt,
  checkSeed,
  type PlanRequest,
  requestBounds,
  textTokensUsual,
} from "./request.js";

export type Dtype = "fp32" | "bf16";

/**
 * Pure: no weights, no device. Throws INVALID_ARGUMENT with the bound that is broken,
 * INVALID_CHECKPOINT for a config that makes no sense, FAILED_PRECONDITION without a built addon.
 */
export function makePlan(
  configs: NativeModelConfigs,
  request: PlanRequest,
  dtype: Dtype,
): NativePlan {
  const checked = nativePlanRequest(request);
  const plan = translated(() => loadAddon().plan(configs, checked, dtype));
  return { ...plan, warnings: [...plan.warnings, ...calibrationWarnings(request, plan)] };
}

/**
 * What a model is, from its configs alone. Throws INVALID_CHECKPOINT for a config that makes no
 * sense, UNSUPPORTED with the name of a model that this engine does not know.
 */
export function describeModel(configs: NativeModelConfigs): NativeModelTraits {
  return translated(() => loadAddon().describeModel(configs));
}

/** Throws INVALID_ARGUMENT with the first prompt that is no class of a model of classes. */
export function checkPromptsFor(configs: NativeModelConfigs, prompts: readonly string[]): void {
  translated(() => loadAddon().checkPrompts(configs, prompts));
}
