// Pictures of PixArt-alpha and DiT through the same farm and commands as video: a PNG for each
// prompt with the same bytes whoever rendered it, counted in the same metrics, and with the same
// bits after a worker or an engine was killed.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { Clip } from "../../proto/gen/tocafarm/v1/farm.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import { digestOf, ended, reachesStep, rendered, submit } from "../support/farm-batches.js";
import { clientOf, FarmSandbox, idleWorkers } from "../support/farm-processes.js";
import { makeDit, makePixart } from "../support/image-models.js";

const size = { frames: 1, height: 128, width: 128, steps: 6 };
const toca = { name: "toca", options: {} };
const pixart: Partial<RenderSpec> = { ...size, model: "pixart", guidance: 4.5, policy: toca };
const dit: Partial<RenderSpec> = { ...size, model: "dit", guidance: 4, policy: toca };
const ddpm: Partial<RenderSpec> = { ...dit, sampler: "ddpm" };
const flags = ["--image-size", "128x128", "--steps", "6", "--policy", "toca", "--seed", "7"];

function manifestOf(sandbox: FarmSandbox, clip: Clip) {
  const [media, manifest] = clip.artifacts;
  const names = clip.artifacts.map(({ key }) => path.posix.basename(key));
  assert.deepEqual(names, ["image.png", "manifest.json", "profile.json"]);
  assert.ok(media && manifest);
  assert.equal(digestOf(path.join(sandbox.artifactsFolder, media.key)), media.sha256);
  return JSON.parse(readFileSync(path.join(sandbox.artifactsFolder, manifest.key), "utf8"));
}

test("two workers give the pictures of one command, and count joint blocks", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const models = [makePixart(sandbox.path("")), makeDit(sandbox.path(""))];
  const alone = async (model: string, ...prompts: readonly string[]) => {
    const output = sandbox.path(`alone-${path.basename(model)}`);
    const asked = [...prompts.flatMap((prompt) => ["--prompt", prompt]), "--output", output];
    const said = await sandbox.run("render", "--model", model, ...flags, ...asked, "--json");
    assert.equal(said.status, 0, said.stderr);
    return prompts.map((_, index) => path.join(output, `sample_000${index}.png`));
  };
  const [red, blue] = await alone(models[0] ?? "", "a red circle", "a blue square");
  const [ox, cow] = await alone(models[1] ?? "", "Bull", "7");
  const fields = ["-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0"];
  const probed = execFileSync("ffprobe", ["-v", "error", ...fields, red ?? ""], {
    encoding: "utf8",
  });
  assert.equal(probed.trim(), "png,128,128");

  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  const both = models.flatMap((model) => ["--model", model]);
  const workers = await Promise.all(
    ["w1", "w2"].map((id) => sandbox.worker(coordinator, id, ...both)),
  );
  await idleWorkers(client, "w1", "w2");
  const [captions, classes] = await Promise.all([
    rendered(client, ["a red circle", "a blue square"], pixart),
    rendered(client, ["3", "cow"], dit),
  ]);
  const expected = [red, blue, ox, cow].map((file) => digestOf(file ?? ""));
  const all = [...captions, ...classes];
  assert.deepEqual(
    all.map(({ artifacts: [media] }) => media?.sha256),
    expected,
  );
  const [picture, , animal] = all.map((clip) => manifestOf(sandbox, clip));
  assert.deepEqual([picture.model.family, picture.sampler], ["pixart", "dpm-solver++"]);
  assert.deepEqual([animal.model.family, animal.sampler], ["dit", "ddim"]);
  let tokens = 0;
  for (const worker of workers) {
    const metrics = await worker.metrics();
    const labels = { model: "dit", layer: "1", block: "joint", module: "mlp" };
    tokens += metrics.one("tocafarm_tokens_total", { ...labels, outcome: "reused", device: "cpu" });
  }
  assert.ok(tokens > 0);

  const unknown = submit(client, ["3", "goat"], dit);
  await assert.rejects(unknown, { code: "INVALID_ARGUMENT", message: /"goat" is no class of/ });
  const clip = submit(client, ["a red circle"], { ...pixart, frames: 17 });
  await assert.rejects(clip, { code: "INVALID_ARGUMENT", message: /renders single images/ });
});

test("a picture goes on from its checkpoint after its worker or engine was killed", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const models = [makePixart(sandbox.path("")), makeDit(sandbox.path(""))];
  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  const worker = (id: string) => {
    const both = models.flatMap((model) => ["--model", model]);
    return sandbox.worker(coordinator, id, ...both, "--checkpoint-seconds", "0");
  };
  const long = { steps: 1000, policy: { name: "none", options: {} } };
  const resumed = async (batch: string, prompt: string, spec: Partial<RenderSpec>) => {
    const [clip] = (await ended(client, batch)).clips;
    assert.ok(clip?.state === "CLIP_STATE_PUBLISHED" && clip.attempt === 2);
    assert.ok(manifestOf(sandbox, clip).resumed_from.step > 0);
    const [whole] = await rendered(client, [prompt], { ...spec, ...long });
    assert.equal(clip.artifacts[0]?.sha256, whole?.artifacts[0]?.sha256);
  };

  const first = await worker("w1");
  await idleWorkers(client, "w1");
  const caption = await submit(client, ["a red circle"], { ...pixart, ...long });
  await reachesStep(client, { batch: caption, step: 20 });
  await first.kill();
  const second = await worker("w2");
  await resumed(caption, "a red circle", pixart);

  const cow = await submit(client, ["cow"], { ...ddpm, ...long });
  await reachesStep(client, { batch: cow, step: 20 });
  process.kill(await second.engine(), "SIGKILL");
  await resumed(cow, "cow", ddpm);
});
