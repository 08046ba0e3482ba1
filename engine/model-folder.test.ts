import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readModelFolder } from "./model-folder.js";

const stdit3 = '{"model_type": "STDiT3", "hidden_size": 8, "num_heads": 1, "depth": 6}';
const dit = '{"num_classes": 3, "hidden_size": 8, "num_heads": 1, "depth": 6}';

async function modelFolder(
  t: TestContext,
  changes: Readonly<Record<string, string | undefined>> = {},
): Promise<string> {
  const base = await mkdtemp(join(tmpdir(), "tocafarm-model-"));
  t.after(() => rm(base, { recursive: true }));
  const files: Record<string, string | undefined> = {
    "transformer/config.json": stdit3,
    "vae/config.json": "{}",
    "text_encoder/config.json": "{}",
    "tokenizer/spiece.model": "x",
    ...changes,
  };
  for (const [path, text] of Object.entries(files)) {
    if (text === undefined) continue;
    await mkdir(join(base, "tiny", path, ".."), { recursive: true });
    await writeFile(join(base, "tiny", path), text);
  }
  return join(base, "tiny");
}

test("a model folder is read with its name, its texts and its defaults", async (t) => {
  const defaults = '{"frames": 17, "fps": 7.5, "guidance": 0}';
  const path = await modelFolder(t, { "defaults.json": defaults });
  const { traits, ...texts } = await readModelFolder(`${path}/`);
  assert.deepEqual(texts, {
    name: "tiny",
    path,
    configs: { transformer: stdit3, vae: "{}", textEncoder: "{}", modelIndex: "" },
    defaults: { frames: 17, fps: 7.5, guidance: 0 },
  });
  assert.deepEqual([traits.family, traits.prompt, traits.imagesOnly], ["stdit3", "text", false]);
});

test("a model of classes has no text parts, and its names in the index", async (t) => {
  const index = '{"id2label": {"0": "ox"}}';
  const path = await modelFolder(t, {
    "transformer/config.json": dit,
    "text_encoder/config.json": undefined,
    "tokenizer/spiece.model": undefined,
    "model_index.json": index,
    "defaults.json": '{"sampler": "ddpm"}',
  });
  const { configs, traits, defaults } = await readModelFolder(path);
  assert.deepEqual([configs.modelIndex, configs.textEncoder], [index, ""]);
  assert.deepEqual([traits.family, traits.prompt, traits.imagesOnly], ["dit", "class", true]);
  assert.deepEqual(traits.samplers, [
    { name: "ddim", steps: 50 },
    { name: "ddpm", steps: 250 },
  ]);
  assert.deepEqual(defaults, { sampler: "ddpm" });
});

test("a model that the engine does not know is refused by name", async (t) => {
  const path = await modelFolder(t, { "transformer/config.json": '{"_class_name": "Flux"}' });
  await assert.rejects(readModelFolder(path), { code: "UNSUPPORTED", message: /is of "Flux"/ });
});

test("a model folder needs no defaults", async (t) => {
  assert.deepEqual((await readModelFolder(await modelFolder(t))).defaults, {});
});

test("what is missing of a model folder is named", async (t) => {
  await assert.rejects(readModelFolder("/nowhere/model"), {
    code: "NOT_FOUND",
    message: "model folder /nowhere/model is missing: give the folder of a model with --model",
  });
  await assert.rejects(readModelFolder(await modelFolder(t, { "vae/config.json": undefined })), {
    code: "NOT_FOUND",
    message: /tiny\/vae is missing: a folder of such a model has transformer, vae/,
  });
  await assert.rejects(
    readModelFolder(await modelFolder(t, { "tokenizer/spiece.model": undefined })),
    { code: "NOT_FOUND", message: /tokenizer is missing: .* has text_encoder, tokenizer/ },
  );
  const other = { "vae/config.json": undefined, "vae/weights.bin": "x" };
  await assert.rejects(readModelFolder(await modelFolder(t, other)), {
    code: "NOT_FOUND",
    message: /vae\/config\.json is missing/,
  });
});

const damaged: readonly (readonly [string, string, RegExp])[] = [
  ["transformer/config.json", '{"depth": ', /config\.json is not JSON/],
  ["transformer/config.json", "[]", /config\.json is not a JSON object/],
  ["transformer/config.json", " ".repeat(2 ** 21), /has 2097152 bytes, at most 1048576 make sense/],
  ["defaults.json", '{"frame": 17}', /unknown field "frame"; known are frames, height/],
  ["defaults.json", '{"frames": "17"}', /frames = "17"; it must be a whole number from 1 to 4096/],
  ["defaults.json", '{"steps": 2.5}', /steps = 2\.5/],
  ["defaults.json", '{"fps": 0}', /fps = 0/],
  ["defaults.json", '{"guidance": -1}', /guidance = -1/],
  ["defaults.json", '{"sampler": 3}', /sampler = 3; it must be a name/],
  ["model_index.json", "[]", /model_index\.json is not a JSON object/],
  ["defaults.json", '{"toString": 1}', /unknown field "toString"/],
];

for (const [path, text, message] of damaged) {
  test(`a damaged model folder is told: ${message.source}`, async (t) => {
    await assert.rejects(readModelFolder(await modelFolder(t, { [path]: text })), {
      code: "INVALID_CHECKPOINT",
      message,
    });
  });
}

test("a folder whose name cannot be a model's is refused", async (t) => {
  const base = await mkdtemp(join(tmpdir(), "tocafarm model "));
  t.after(() => rm(base, { recursive: true }));
  await assert.rejects(readModelFolder(base), { code: "INVALID_ARGUMENT", message: /rename it/ });
});
