import assert from "node:assert/strict";
import { test } from "node:test";
import { type CalibratedPolicy, type Calibration, calibrationWarnings } from "./calibration.js";

const asked = {
  ...{ frames: 17, height: 48, width: 64, fps: 24, steps: 20, guidance: 7, sampler: "" },
  policy: { name: "mask", options: {} },
};

function warningsOf(
  calibration: Calibration,
  at: Partial<CalibratedPolicy> = {},
  options: Readonly<Record<string, string>> = {},
): readonly string[] {
  const request = { ...asked, calibrated: { calibration, model: "demo", ...at } };
  return calibrationWarnings(request, { policy: { name: "mask", options }, sampler: "rflow" });
}

test("a policy that runs where it was calibrated is not warned of", () => {
  const same = { model: "demo", steps: 20, width: 64, height: 48, frames: 17, sampler: "rflow" };
  assert.deepEqual(warningsOf(same), []);
  assert.deepEqual(warningsOf({}), []);
  const plan = { policy: { name: "mask", options: {} }, sampler: "rflow" };
  assert.deepEqual(calibrationWarnings(asked, plan), []);
});

test("every value that differs is named beside the one asked for", () => {
  const other = { model: "big", steps: 30, width: 96, height: 48, frames: 51, sampler: "ddim" };
  const [warning, ...others] = warningsOf(other);
  assert.equal(
    warning,
    "policy mask was calibrated for other renders than this one: big, not demo; " +
      "30 steps, not 20; 48x96, not 48x64; 51 frames, not 17; ddim, not rflow. " +
      "Calibrate anew, or see with tocafarm compare what it does",
  );
  assert.deepEqual(others, []);
});

test("digests of weights decide where both are known, and not the names of folders", () => {
  const digest = "0123456789abcdef";
  const calibration = { model: "mine", modelDigest: digest };
  assert.deepEqual(warningsOf(calibration, { modelDigest: digest }), []);
  const [other] = warningsOf(calibration, { modelDigest: "fedcba9876543210" });
  assert.match(other ?? "", /mine with weights 0123456789ab, not demo with fedcba987654\. /);
  assert.match(warningsOf(calibration)[0] ?? "", /: mine, not demo\. /);
});

test("a schedule that names its own steps is not warned of twice", () => {
  assert.deepEqual(warningsOf({ steps: 30 }, {}, { for_steps: "30" }), []);
  assert.deepEqual(warningsOf({ steps: 30 }, {}, { "mask.for_steps": "30" }), []);
});
