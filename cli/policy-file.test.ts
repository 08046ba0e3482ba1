import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FarmError } from "../common/errors.js";
import { policyOf } from "./policy-file.js";

function fileWith(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "tocafarm-policy-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "policy.json");
  writeFileSync(file, text);
  return file;
}

function refuses(name: string, words: RegExp): void {
  assert.throws(
    () => policyOf(name),
    (error) => error instanceof FarmError && words.test(error.message),
  );
}

test("a policy is named with its options", () => {
  const policy = policyOf("toca", { interval: "4" });
  assert.deepEqual(policy, { name: "toca", options: { interval: "4" } });
  assert.deepEqual(policyOf("none").options, {});
});

test("a policy file holds name and options, and options of the command line win", (t) => {
  const options = { compute: "0-3,6", for_steps: 8 };
  const file = fileWith(t, JSON.stringify({ name: "mask", options, model: "demo" }));
  assert.deepEqual(policyOf(file, { compute: "0-3" }), {
    name: "mask",
    options: { compute: "0-3", for_steps: "8" },
  });
  assert.deepEqual(policyOf(fileWith(t, '{"name": "none"}')), { name: "none", options: {} });
  assert.equal(policyOf(fileWith(t, '\uFEFF{"name": "toca"}')).name, "toca");
});

test("a policy file says what it was calibrated for", (t) => {
  const calibration = { model: "demo", model_digest: "d1", steps: 30, frames: 17, prompts: ["a"] };
  const file = fileWith(t, JSON.stringify({ name: "mask", calibration }));
  const { calibration: read } = policyOf(file, { compute: "0" });
  const unsaid = { width: undefined, height: undefined, sampler: undefined };
  const said = { model: "demo", modelDigest: "d1", steps: 30, frames: 17 };
  assert.deepEqual(read, { ...said, ...unsaid });
  const held = (value: unknown) => JSON.stringify({ name: "mask", calibration: value });
  refuses(fileWith(t, held([30])), /calibration must be an object/);
  refuses(fileWith(t, held({ model: 3 })), /calibration\.model must be a text/);
  refuses(fileWith(t, held({ steps: 0 })), /calibration\.steps is 0; a whole number from 1 to/);
  refuses(fileWith(t, held({ width: "64" })), /calibration\.width is "64"/);
});

test("a file that holds no policy is refused with what is wanted", (t) => {
  refuses("/nowhere/policy.json", /cannot be read/);
  refuses(fileWith(t, "name: mask"), /is no JSON; .* is wanted/);
  refuses(fileWith(t, "[]"), /names no policy/);
  refuses(fileWith(t, '{"name": "mask", "options": {"compute": [0, 1]}}'), /option compute must/);
  refuses(fileWith(t, " ".repeat(1024 * 1024 + 1)), /at most 1048576/);
});

test("a policy file that is none is refused, and not waited for", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tocafarm-policy-.json"));
  t.after(() => rmSync(folder, { recursive: true }));
  const pipe = join(folder, "pipe.json");
  execFileSync("mkfifo", [pipe]);
  refuses(pipe, /cannot be read: it is a folder, a pipe or a device/);
});
