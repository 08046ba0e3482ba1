import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../common/paths.js";
import { testSpec } from "../test/support/coordinator-core.js";
import { planWithEngine } from "./planner.js";

const config = (part: string) =>
  readFileSync(path.join(packageRoot(), "models", "demo", part, "config.json"), "utf8");

const model = {
  name: "demo",
  weightsDigest: "w",
  transformerConfig: config("transformer"),
  vaeConfig: config("vae"),
  textEncoderConfig: config("text_encoder"),
};

test("the engine plans a submission from config texts, and toca saves FLOPs", () => {
  const toca = planWithEngine(model, testSpec, "fp32");
  const none = planWithEngine(
    model,
    { ...testSpec, policy: { name: "none", options: {} } },
    "fp32",
  );
  assert.ok(toca.flops > 0 && toca.flops < none.flops);
  assert.equal(none.flops, none.flopsNone);
  assert.notEqual(toca.digest, none.digest);
  assert.ok(Object.keys(toca).length === 7, "the steps stay out of the log");
});

test("the log learns from where a render can be resumed", () => {
  const of = (name: string) =>
    planWithEngine(model, { ...testSpec, steps: 30, policy: { name, options: {} } }, "fp32");
  assert.deepEqual(of("toca").refreshPoints, [1, 2, 6, 12, 18, 24]);
  assert.deepEqual(
    of("none").refreshPoints,
    Array.from({ length: 29 }, (_, step) => step + 1),
  );
});

test("a bound that is broken is named", () => {
  assert.throws(() => planWithEngine(model, { ...testSpec, steps: 0 }, "fp32"), {
    code: "INVALID_ARGUMENT",
    message: /steps is 0/,
  });
});
