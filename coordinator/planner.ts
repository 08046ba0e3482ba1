// The plan of a submission, from the one place that plans are made: the engine, which needs no
// weights and no device for it.

import { makePlan } from "../engine/plan.js";
import type { Planner } from "./ports.js";

/**
 * The engine's plan, of whose steps the log only needs to know where an attempt can be cut. The
 * beginning is no such place: every attempt can begin there.
 */
export const planWithEngine: Planner = (model, spec, dtype) => {
  const configs = {
    transformer: model.transformerConfig,
    vae: model.vaeConfig,
    textEncoder: model.textEncoderConfig,
  };
  const { frames, height, width, fps, steps, guidance, policy } = spec;
  const request = { frames, height, width, fps, steps, guidance, policy };
  const plan = makePlan(configs, request, dtype === "bf16" ? "bf16" : "fp32");
  const { flops, flopsNone, cacheBytes, peakBytes, digest, warnings } = plan;
  const refreshPoints = plan.steps
    .filter(({ step, refreshPoint }) => refreshPoint && step > 0)
    .map(({ step }) => step);
  return { flops, flopsNone, cacheBytes, peakBytes, digest, warnings, refreshPoints };
};
