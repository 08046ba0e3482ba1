import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { addonPath, loadAddon } from "./addon.js";
import { makePlan } from "./plan.js";

const request = {
  frames: 1,
  height: 64,
  width: 64,
  fps: 24,
  steps: 1,
  guidance: 1,
  sampler: "",
  policy: { name: "none", options: {} },
};

/** Makes a CommonJS module the addon for one test. */
async function useAddon(t: TestContext, source: string | undefined): Promise<string> {
  const before = process.env["TOCAFARM_ADDON"];
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-addon-"));
  t.after(async () => {
    if (before === undefined) delete process.env["TOCAFARM_ADDON"];
    else process.env["TOCAFARM_ADDON"] = before;
    await rm(folder, { recursive: true });
  });
  const path = join(folder, "addon.cjs");
  if (source !== undefined) await writeFile(path, source);
  process.env["TOCAFARM_ADDON"] = path;
  return path;
}

test("an addon that is not built is told with the command that builds it", async (t) => {
  const path = await useAddon(t, undefined);
  assert.equal(addonPath(), path);
  assert.throws(loadAddon, {
    code: "FAILED_PRECONDITION",
    message: `the native engine is not built: ${path} is missing; run "npm run build"`,
  });
});

test("an addon that cannot be loaded is told with the reason", async (t) => {
  await useAddon(t, 'throw new Error("libdnnl.so.2: cannot open shared object file")');
  assert.throws(loadAddon, { code: "FAILED_PRECONDITION", message: /libdnnl\.so\.2.*doctor/ });
});

test("an addon of another version is told", async (t) => {
  await useAddon(t, "exports.versions = () => ({})");
  assert.throws(loadAddon, { code: "FAILED_PRECONDITION", message: /run "npm run build" again/ });
});

const addon = (plan: string) => `
  exports.versions = exports.describeModel = exports.checkPrompts = () => {};
  exports.createEngine = exports.weightsDigest = () => {};
  exports.plan = () => { ${plan} };`;

test("an error of the addon keeps its code and message", async (t) => {
  await useAddon(t, addon('throw Object.assign(new Error("w"), { code: "INVALID_CHECKPOINT" })'));
  const configs = { transformer: "", vae: "", textEncoder: "", modelIndex: "" };
  assert.throws(() => makePlan(configs, request, "fp32"), {
    name: "FarmError",
    code: "INVALID_CHECKPOINT",
    message: "w",
  });
});

test("an error without a code is our own mistake", async (t) => {
  await useAddon(t, addon('throw new TypeError("undefined is no plan")'));
  const configs = { transformer: "", vae: "", textEncoder: "", modelIndex: "" };
  assert.throws(() => makePlan(configs, request, "fp32"), { code: "INTERNAL" });
});
