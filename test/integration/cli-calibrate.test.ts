// `tocafarm calibrate` on the demo model with few steps: what it finds from two prompts is nearer
// to `none` than an evenly spaced schedule of the same FLOPs on two others. On the CPU both are the
// same in every run.
import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { after, before, test } from "node:test";
import type { Engine } from "../../engine/engine.js";
import { CliSandbox } from "../support/cli-process.js";
import { loadDemoEngine } from "../support/demo-engine.js";

const sandbox = new CliSandbox();
let engine: Engine;
before(async () => {
  engine = await loadDemoEngine();
});
after(async () => {
  await engine.close();
  await sandbox.dispose();
});

const prompts = ["a red circle moves right on a white background", "a purple triangle grows"];
const unseen = ["a blue square moves up on a gray background", "a white circle stays still"];
const size = { frames: 17, height: 64, width: 48, fps: 8, steps: 10, guidance: 4, sampler: "" };
const recording = sandbox.path("demo.recording.json");

function calibrate(output: string, ...more: readonly string[]) {
  return sandbox.run(
    ...["calibrate", "--model", "models/demo", "--image-size", "64x48", "--steps", "10"],
    ...prompts.flatMap((prompt) => ["--prompt", prompt]),
    ...["--threads", "1", "--recording", recording, "--output", output, ...more],
  );
}

function policyIn(file: string) {
  return JSON.parse(readFileSync(file, "utf8"));
}

/** Sum of log errors over clips that were not calibrated on: twenty times that, in dB. */
async function errorOf(policies: readonly { name: string; options: Record<string, string> }[]) {
  const sums = policies.map(() => 0);
  for (const [index, prompt] of unseen.entries()) {
    const clip = {
      ...size,
      prompt,
      seed: BigInt(500 + index),
      policy: { name: "none", options: {} },
    };
    const found = await engine.compare(clip, policies, () => {});
    found.forEach(({ rootMeanSquare }, at) => {
      sums[at] = (sums[at] ?? 0) + Math.log10(rootMeanSquare);
    });
  }
  return sums;
}

test("half of the steps, chosen, are nearer to none than every second one", async () => {
  const file = sandbox.path("five.json");
  const { status, stdout, stderr } = await calibrate(file, "--budget", "5");
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^evenly spaced +50\.0 % .* 0,2,4,6,8$/m);
  const { name, options, calibration } = policyIn(file);
  assert.equal(name, "mask");
  assert.equal(options.for_steps, "10");
  const { model, steps, width, height, frames, sampler, flops_share: share } = calibration;
  assert.deepEqual(
    [model, steps, width, height, frames, sampler, share, calibration.prompts],
    ["demo", 10, 48, 64, 17, "rflow", 0.5, prompts],
  );
  assert.equal(calibration.model_digest, engine.info.weightsDigest);
  const even = { name: "mask", options: { compute: "0,2,4,6,8" } };
  const [chosen = 0, evenly = 0] = await errorOf([{ name, options }, even]);
  assert.ok(chosen < evenly - 0.5, `${chosen} against ${evenly}`);
});

test("another budget needs no further recording, and modules have a schedule too", async () => {
  const recordedAtMs = statSync(recording).mtimeMs;
  const file = sandbox.path("modules.json");
  const { status, stdout, stderr } = await calibrate(file, "--budget", "40%", "--modules");
  assert.equal(status, 0, stderr);
  assert.equal(statSync(recording).mtimeMs, recordedAtMs);
  assert.match(stdout, /^each module apart +\d\d\.\d % .* 36 rules$/m);
  const { name, options } = policyIn(file);
  assert.equal(name, "module_mask");
  const fora = { name: "fora", options: { interval: "4", warm: "1" } };
  const even = { name: "module_mask", options: { refresh: "all=0,2,5,7" } };
  const [chosen = 0, evenly = 0, uniform = 0] = await errorOf([{ name, options }, even, fora]);
  assert.ok(chosen < evenly - 0.5, `${chosen} against ${evenly}`);
  assert.ok(chosen < uniform - 0.5, `${chosen} against ${uniform}`);
});

test("render takes the file, and what does not fit it is warned of", async () => {
  const file = sandbox.path("five.json");
  const clip = ["--prompt", unseen[0] ?? "", "--image-size", "64x48", "--frames", "17"];
  const { status, stdout, stderr } = await sandbox.run(
    ...["render", "--model", "models/demo", ...clip, "--steps", "10", "--policy", file],
    ...["--output", sandbox.path("out")],
  );
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /calibrated/);
  assert.match(stdout + stderr, /mask\(compute=/);
  const other = await sandbox.run("estimate", "--model", "models/demo", "--policy", file);
  assert.match(other.stderr, /calibrated for other renders than this one: 64x48, not 128x128/);
});

test("what cannot be calibrated is refused before the model is loaded", async () => {
  const file = sandbox.path("refused.json");
  const whole = await calibrate(file, "--budget", "10");
  assert.equal(whole.status, 2, whole.stderr);
  assert.match(whole.stderr, /--budget is 10; 1 to 9 steps of 10 are wanted/);
  const other = await calibrate(file, "--budget", "5", "--seed", "7");
  assert.match(other.stderr, /holds a recording with another seed: choose another --recording/);
  assert.equal(existsSync(file), false);
});
