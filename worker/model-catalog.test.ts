import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makePlan } from "../engine/plan.js";
import { makeDit, makePixart } from "../test/support/image-models.js";
import { readCatalog, smallestClip } from "./model-catalog.js";

test("image models are announced with all that a plan needs, and with their modules", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-catalog-"));
  t.after(() => rm(folder, { recursive: true }));
  const catalog = await readCatalog([makePixart(folder), makeDit(folder)], "fp32", null);
  const [pixart, dit] = [catalog.get("pixart"), catalog.get("dit")];
  assert.ok(pixart && dit);
  assert.match(dit.message.modelIndex, /"cow"/);
  assert.equal(dit.message.textEncoderConfig, "");
  assert.match(pixart.message.textEncoderConfig, /T5EncoderModel/);
  assert.notEqual(dit.message.weightsDigest, pixart.message.weightsDigest);
  assert.equal(pixart.modules.length, 3 * 3);
  assert.deepEqual(dit.modules.slice(0, 3), [
    { layer: 0, block: "joint", module: "self_attention" },
    { layer: 0, block: "joint", module: "mlp" },
    { layer: 1, block: "joint", module: "self_attention" },
  ]);
});

test("the smallest clip of a model is one that it takes", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-catalog-"));
  t.after(() => rm(folder, { recursive: true }));
  for (const model of (
    await readCatalog([makePixart(folder), makeDit(folder)], "fp32", null)
  ).values()) {
    const { outputHeight } = makePlan(model.configs, smallestClip(model.traits), "fp32");
    assert.equal(outputHeight, model.name === "dit" ? 128 : 64);
  }
});
