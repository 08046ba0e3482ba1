// The render that tests and benchmarks of a farm ask for, where no other is wanted.
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";

/** 17 frames of 64x64 of the demo model in 6 steps: a third of a second on one core. */
export const demoSpec: RenderSpec = {
  model: "demo",
  frames: 17,
  height: 64,
  width: 64,
  fps: 8,
  saveFps: 8,
  steps: 6,
  guidance: 4,
  seed: 7n,
  policy: { name: "toca", options: {} },
  scores: undefined,
  dtype: "",
  device: "",
  initialLatentKey: "",
  saveLatent: false,
  saveFrames: false,
  sampler: "",
  trace: "TRACE_DETAIL_UNSPECIFIED",
};
