import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../common/paths.js";
import { testSpec } from "../test/support/coordinator-core.js";
import { enginePlanner } from "./planner.js";

const config = (part: string) =>
  readFileSync(path.join(packageRoot(), "models", "demo", part, "config.json"), "utf8");

const model = {
  name: "demo",
  weightsDigest: "w",
  transformerConfig: config("transformer"),
  vaeConfig: config("vae"),
  textEncoderConfig: config("text_encoder"),
  modelIndex: "",
};

test("the engine plans a submission from config texts, and toca saves FLOPs", () => {
  const toca = enginePlanner.plan(model, testSpec, "fp32").figures;
  const computed = { ...testSpec, policy: { name: "none", options: {} } };
  const none = enginePlanner.plan(model, computed, "fp32").figures;
  assert.ok(toca.flops > 0 && toca.flops < none.flops);
  assert.equal(none.flops, none.flopsNone);
  assert.notEqual(toca.digest, none.digest);
  assert.ok(Object.keys(toca).length === 7, "the steps stay out of the log");
});

test("the log learns from where a render can be resumed", () => {
  const of = (name: string) =>
    enginePlanner.plan(model, { ...testSpec, steps: 30, policy: { name, options: {} } }, "fp32")
      .figures;
  assert.deepEqual(of("toca").refreshPoints, [1, 2, 6, 12, 18, 24]);
  assert.deepEqual(
    of("none").refreshPoints,
    Array.from({ length: 29 }, (_, step) => step + 1),
  );
});

test("a preset is planned as the policy that it stands for", () => {
  const preset = { name: "preset:balanced", options: { compute: "0,3" } };
  const { policy, figures } = enginePlanner.plan(model, { ...testSpec, policy: preset }, "fp32");
  assert.ok(!policy.name.startsWith("preset:"));
  assert.equal(policy.options["compute"], "0,3");
  const resolved = enginePlanner.plan(model, { ...testSpec, policy }, "fp32");
  assert.deepEqual(resolved, { policy, figures });
});

test("a plan warns of a policy that was calibrated for other weights", () => {
  const warningsOf = (modelDigest: string) =>
    enginePlanner.plan(model, testSpec, "fp32", { model: "test", modelDigest }).figures.warnings;
  assert.deepEqual(warningsOf("w"), warningsOf(model.weightsDigest));
  assert.match(warningsOf("other").at(-1) ?? "", /test with weights other, not .* with w\. /);
});

test("a bound that is broken is named", () => {
  assert.throws(() => enginePlanner.plan(model, { ...testSpec, steps: 0 }, "fp32"), {
    code: "INVALID_ARGUMENT",
    message: /steps is 0/,
  });
});

test("a prompt that is no class of a model of classes is named", () => {
  const classes = { hidden_size: 8, num_heads: 1, depth: 1, num_classes: 3 };
  const modelIndex = JSON.stringify({ id2label: { 1: "goldfish" } });
  const dit = { ...model, transformerConfig: JSON.stringify(classes), modelIndex };
  enginePlanner.checkPrompts(dit, ["0", "Goldfish"]);
  enginePlanner.checkPrompts(model, ["a goldfish"]);
  assert.throws(() => enginePlanner.checkPrompts(dit, ["0", "gold fish"]), {
    code: "INVALID_ARGUMENT",
    message: /"gold fish" is no class of this model; similar are "goldfish"/,
  });
});
