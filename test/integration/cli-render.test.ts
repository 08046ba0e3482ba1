// `tocafarm render` from prompt to files, with the demo model and few steps: what it leaves, what
// it does not leave, and that the bits do not depend on how many workers there were.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { after, test } from "node:test";
import { CliSandbox } from "../support/cli-process.js";

const sandbox = new CliSandbox();
after(() => sandbox.dispose());

const quick = ["--model", "models/demo", "--steps", "3", "--policy", "toca"];
const prompts = ["--prompt", "a red circle moves right", "--prompt", "a blue star spins"];

function digest(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

test("two workers leave videos, manifests and a contact sheet, and nothing else", async () => {
  const output = sandbox.path("two");
  const args = ["render", ...quick, ...prompts, "--workers", "2", "--output", output];
  const { status, stdout, stderr } = await sandbox.run(...args);
  assert.equal(status, 0, stderr);
  assert.deepEqual(readdirSync(output).sort(), [
    "contact-sheet.png",
    "sample_0000.json",
    "sample_0000.mp4",
    "sample_0001.json",
    "sample_0001.mp4",
  ]);
  assert.match(stdout, /^0000 +published +worker-\d +[\d.]+ s +3 +[\d.]+ % +[\d.]+ %$/m);
  assert.match(stdout, /2 of 2 clips/);
  assert.match(stderr, /metrics while it runs: http:/);
  const manifest = JSON.parse(readFileSync(`${output}/sample_0001.json`, "utf8"));
  assert.equal(manifest.sha256, digest(`${output}/sample_0001.mp4`));
  assert.deepEqual([manifest.seed, manifest.frames, manifest.steps], ["43", 17, 3]);
  assert.deepEqual(readdirSync(sandbox.path("data")), [], "the temporary data folder is gone");
  await sandbox.allGone(2_000);
});

test("one worker with all cores gives the same bits as two", async () => {
  const output = sandbox.path("one");
  const args = ["render", ...quick, ...prompts, "--workers", "1", "--output", output, "--json"];
  const { status, stdout, stderr } = await sandbox.run(...args);
  assert.equal(status, 0, stderr);
  const { batch, files } = JSON.parse(stdout);
  assert.equal(batch.state, "succeeded");
  for (const name of ["sample_0000.mp4", "sample_0001.mp4"]) {
    assert.equal(digest(`${output}/${name}`), digest(sandbox.path("two", name)));
  }
  assert.equal(files["1"], `${output}/sample_0001.mp4`);
});

test("a render begins from a given latent, traces every module and keeps its frames", async () => {
  const latent = sandbox.path("final.safetensors");
  const trace = sandbox.path("trace.jsonl");
  const folder = ["--output", sandbox.path("latent"), "--threads", "1"];
  const one = ["--prompt", "a red circle moves right", ...folder];
  const first = await sandbox.run("render", ...quick, ...one, "--save-latent", latent);
  assert.equal(first.status, 0, first.stderr);
  assert.ok(existsSync(latent));
  const frames = sandbox.path("frames.mkv");
  const kept = ["--save-frames", frames];
  const again = ["--initial-latent", latent, "--trace", trace, "--trace-indices", ...kept];
  const second = await sandbox.run("render", ...quick, ...one, ...again);
  assert.equal(second.status, 0, second.stderr);
  const lines = readFileSync(trace, "utf8").trimEnd().split("\n");
  const calls = lines.map((line) => JSON.parse(line));
  // 3 steps, 6 layers, spatial and temporal, self-attention, cross-attention and MLP.
  assert.equal(calls.filter(({ module }) => module === "mlp").length, 3 * 6 * 2);
  assert.ok(readFileSync(frames).includes("matroska"));
});

test("a preset is kept as the policy it stands for, and costs what was estimated", async () => {
  const size = ["--frames", "1", "--image-size", "32x32", "--steps", "8"];
  const same = ["--model", "models/demo", ...size, "--preset", "balanced", "--json"];
  const estimated = await sandbox.run("estimate", ...same);
  assert.equal(estimated.status, 0, estimated.stderr);
  const estimate = JSON.parse(estimated.stdout);
  const own = ["--prompt", "a blue star spins", "--output", sandbox.path("preset")];
  const rendered = await sandbox.run("render", ...same, ...own);
  assert.equal(rendered.status, 0, rendered.stderr);
  const { batch, clips } = JSON.parse(rendered.stdout);
  assert.notEqual(estimate.policy.name, "none");
  assert.deepEqual(batch.spec.policy, estimate.policy);
  assert.equal(clips[0].totals.flops, estimate.flops);
  assert.equal(batch.flopsNonePerClip, estimate.flops_none);
  assert.equal(batch.cacheBytes, estimate.cache_bytes);
  assert.equal(batch.peakBytes, estimate.peak_bytes);
});

test("an interrupt cancels the render and leaves no process and no half file", async () => {
  const output = sandbox.path("interrupted");
  const long = ["--model", "models/demo", "--steps", "1000", "--prompt", "a red circle"];
  const render = sandbox.start("render", ...long, "--output", output);
  await render.shows("rendering on worker-1");
  render.child.kill("SIGINT");
  const { status, stderr } = await render.ended;
  assert.equal(status, 130);
  assert.match(stderr, /tocafarm: CANCELLED: stopped by SIGINT\n$/);
  await sandbox.allGone(2_000);
  assert.equal(existsSync(output), false);
});

test("when the command is killed, its farm is gone within two seconds", async () => {
  const long = ["--model", "models/demo", "--steps", "1000", "--prompt", "a red circle"];
  const render = sandbox.start("render", ...long, "--output", sandbox.path("killed"));
  await render.shows("rendering on worker-1");
  assert.ok(sandbox.processes().length >= 4);
  render.child.kill("SIGKILL");
  await sandbox.allGone(2_000);
});
