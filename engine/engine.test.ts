import assert from "node:assert/strict";
import { test } from "node:test";
import { nativeRenderOptions, type RenderOptions } from "./engine.js";

const options: RenderOptions = {
  request: {
    prompt: "a circle",
    seed: 42n,
    frames: 17,
    height: 64,
    width: 48,
    fps: 8,
    steps: 8,
    guidance: 4,
    sampler: "",
    policy: { name: "toca", options: {} },
  },
  initialLatentPath: "noise.safetensors",
  saveLatentPath: null,
  traceIndices: false,
  resumeFromPath: "checkpoint-6.safetensors",
  checkpointFolder: "checkpoints",
  checkpointPeriodSeconds: 2.5,
};

test("the options of a render cross under the addon's names and nothing else", () => {
  const carried = { ...options, note: "of the caller" };
  assert.deepEqual(nativeRenderOptions(carried), {
    request: { ...options.request, textTokensNominal: 30 },
    initialLatent: "noise.safetensors",
    saveLatent: null,
    traceIndices: false,
    resumeFrom: "checkpoint-6.safetensors",
    checkpointFolder: "checkpoints",
    checkpointPeriodSeconds: 2.5,
  });
});

const broken: readonly (readonly [Partial<RenderOptions>, RegExp])[] = [
  [{ checkpointPeriodSeconds: -1 }, /^the checkpoint period is -1 seconds, allowed is 0 /],
  [{ checkpointPeriodSeconds: Number.NaN }, /the checkpoint period is NaN/],
  [{ checkpointPeriodSeconds: Number.POSITIVE_INFINITY }, /the checkpoint period is Infinity/],
  [{ resumeFromPath: "" }, /^the path of the checkpoint is "": name a file, or null for none$/],
  [{ checkpointFolder: "a\0b" }, /the path of the checkpoint folder is "a\\u0000b"/],
  [{ initialLatentPath: "" }, /the path of the initial latent/],
  [{ saveLatentPath: "" }, /the path of the final latent/],
  [{ request: { ...options.request, steps: 0 } }, /^steps is 0/],
];

for (const [change, message] of broken) {
  test(`a render is refused when ${message.source}`, () => {
    assert.throws(() => nativeRenderOptions({ ...options, ...change }), {
      code: "INVALID_ARGUMENT",
      message,
    });
  });
}
