import assert from "node:assert/strict";
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
});

test("a file that holds no policy is refused with what is wanted", (t) => {
  refuses("/nowhere/policy.json", /cannot be read/);
  refuses(fileWith(t, "name: mask"), /is no JSON; .* is wanted/);
  refuses(fileWith(t, "[]"), /names no policy/);
  refuses(fileWith(t, '{"name": "mask", "options": {"compute": [0, 1]}}'), /option compute must/);
  refuses(fileWith(t, " ".repeat(1024 * 1024 + 1)), /at most 1048576/);
});
