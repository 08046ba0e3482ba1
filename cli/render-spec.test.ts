import assert from "node:assert/strict";
import { test } from "node:test";
import { FarmError } from "../common/errors.js";
import { renderSpec } from "./render-spec.js";
import { namedSize } from "./resolutions.js";

const plainModel = { name: "m", defaults: {} };
const demoModel = {
  name: "demo",
  defaults: { frames: 17, height: 128, width: 128, fps: 8, steps: 30, guidance: 4 },
};

test("without options the model's defaults hold, and without these Open-Sora's", () => {
  const demo = renderSpec({}, demoModel);
  assert.deepEqual([demo.frames, demo.height, demo.width, demo.fps], [17, 128, 128, 8]);
  assert.deepEqual([demo.steps, demo.guidance, demo.seed, demo.saveFps], [30, 4, 42n, 8]);
  const plain = renderSpec({}, plainModel);
  assert.deepEqual([plain.frames, plain.height, plain.width, plain.fps], [51, 240, 426, 24]);
  assert.deepEqual([plain.steps, plain.guidance, plain.policy?.name], [30, 7, "none"]);
});

test("an option wins over the model's default", () => {
  const spec = renderSpec({ frames: 34, fps: 12, steps: 5, guidance: 0, seed: 0n }, demoModel);
  assert.deepEqual([spec.frames, spec.fps, spec.saveFps], [34, 12, 12]);
  assert.deepEqual([spec.steps, spec.guidance, spec.seed], [5, 0, 0n]);
});

test("the cache's dtype is an option of the policy, and of one that a preset stands for", () => {
  const named = renderSpec({ policy: "toca", cacheDtype: "bf16" }, demoModel);
  assert.deepEqual(named.policy, { name: "toca", options: { cache_dtype: "bf16" } });
  const preset = renderSpec({ preset: "balanced", cacheDtype: "fp8" }, demoModel);
  assert.deepEqual(preset.policy?.options, { cache_dtype: "fp8" });
});

test("an image size wins over a named one, and a named one over the model's", () => {
  const named = renderSpec({ resolution: "480p" }, demoModel);
  assert.deepEqual([named.height, named.width], [480, 854]);
  const both = renderSpec({ resolution: "480p", imageSize: ["64x72"] }, demoModel);
  assert.deepEqual([both.height, both.width], [64, 72]);
  const ratio = renderSpec({ aspectRatio: "16:9" }, demoModel);
  assert.deepEqual([ratio.height, ratio.width], [426, 240]);
});

test("an image is conditioned on 120 frames a second unless told otherwise", () => {
  const image = renderSpec({ frames: 1 }, plainModel);
  assert.deepEqual([image.fps, image.saveFps], [120, 24]);
  assert.equal(renderSpec({ frames: 1, fps: 30 }, plainModel).fps, 30);
});

test("scores are in the spec only when they were asked for", () => {
  assert.deepEqual(renderSpec({ aes: 6.5 }, plainModel).scores, {
    aesthetic: 6.5,
    motion: undefined,
    cameraMotion: undefined,
  });
});

test("names of sizes are looked up as height by width", () => {
  assert.deepEqual(namedSize("144p", "3:8"), { height: 117, width: 312 });
  assert.deepEqual(namedSize("4k", "50:27"), { height: 4156, width: 1994 });
  assert.deepEqual(namedSize("512", "1:1"), { height: 512, width: 512 });
});

test("a name that is not known is refused with those that are", () => {
  const refused = (resolution: string, ratio: string, words: RegExp) =>
    assert.throws(
      () => namedSize(resolution, ratio),
      (error) => error instanceof FarmError && words.test(error.message),
    );
  refused("8k", "9:16", /known are 144p/);
  refused("240p", "7:5", /known are 3:8/);
  refused("512", "9:16", /is a square/);
});
