// The plan of a submission, from the one place that plans are made: the engine, which needs no
// weights and no device for it.

import { type Calibration, checkPromptsFor, type ModelConfigs, makePlan } from "../engine/plan.js";
import type { RenderSpec } from "./core/events.js";
import type { ModelInfo } from "./core/liveness.js";
import type { Planned, Planner } from "./ports.js";

/**
 * The engine's plan, of whose steps the log only needs to know where an attempt can be cut. The
 * beginning is no such place: every attempt can begin there.
 */
function plan(
  model: ModelInfo,
  spec: RenderSpec,
  dtype: string,
  calibration?: Calibration,
): Planned {
  const { frames, height, width, fps, steps, guidance, sampler, policy } = spec;
  const calibrated = calibration && {
    ...{ calibration, model: spec.model, modelDigest: model.weightsDigest },
  };
  const request = {
    ...{ frames, height, width, fps, steps, guidance, sampler, policy },
    ...(calibrated && { calibrated }),
  };
  const made = makePlan(configsOf(model), request, dtype === "bf16" ? "bf16" : "fp32");
  const { flops, flopsNone, cacheBytes, peakBytes, digest, warnings } = made;
  const refreshPoints = made.steps
    .filter(({ step, refreshPoint }) => refreshPoint && step > 0)
    .map(({ step }) => step);
  const figures = { flops, flopsNone, cacheBytes, peakBytes, digest, warnings, refreshPoints };
  return { policy: made.policy, figures };
}

function configsOf(model: ModelInfo): ModelConfigs {
  return {
    transformer: model.transformerConfig,
    vae: model.vaeConfig,
    textEncoder: model.textEncoderConfig,
    modelIndex: model.modelIndex,
  };
}

export const enginePlanner: Planner = {
  plan,
  checkPrompts: (model, prompts) => checkPromptsFor(configsOf(model), prompts),
};
