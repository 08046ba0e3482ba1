// A batch through the command line on the real engine: a video for each prompt, and the same bytes
// whatever shared out the work. Two workers split it, one does it alone, and an engine with more
// threads than cores does it again.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { CliSandbox } from "../support/cli-process.js";
import { demoPrompts, digestOf } from "../support/farm-batches.js";
import { demoModel } from "../support/farm-processes.js";

const sandbox = new CliSandbox();
after(() => sandbox.dispose());

const prompts = sandbox.path("prompts.txt");
const small = ["--frames", "17", "--image-size", "64x64", "--steps", "6", "--policy", "toca"];

/** Renders into a folder of the sandbox and resolves to what `--json` says. */
async function render(folder: string, ...args: readonly string[]) {
  const output = sandbox.path(folder);
  const head = ["render", "--model", demoModel, ...small, "--output", output, "--json"];
  const { status, stdout, stderr } = await sandbox.run(...head, ...args);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/** SHA-256 of every video and manifest in a folder, by name. */
function bytesIn(folder: string): Readonly<Record<string, string>> {
  const names = readdirSync(sandbox.path(folder)).filter((name) => name.startsWith("sample"));
  return Object.fromEntries(
    names.sort().map((name) => [name, digestOf(sandbox.path(folder, name))]),
  );
}

function framesOf(file: string): string {
  const fields = "stream=codec_name,width,height,nb_read_frames,r_frame_rate";
  const args = ["-v", "error", "-count_frames", "-show_entries", fields, "-of", "csv=p=0", file];
  return execFileSync("ffprobe", args, { encoding: "utf8" }).trim();
}

before(async () => {
  writeFileSync(prompts, `${demoPrompts.join("\n")}\n`);
  await render("two", "--prompts", prompts, "--seed", "7", "--workers", "2");
});

test("two workers split a batch and give one video and one manifest a prompt", async () => {
  assert.deepEqual(readdirSync(sandbox.path("two")).sort(), [
    "contact-sheet.png",
    ...demoPrompts.flatMap((_, index) => [`sample_000${index}.json`, `sample_000${index}.mp4`]),
  ]);
  for (const [index, prompt] of demoPrompts.entries()) {
    const file = sandbox.path("two", `sample_000${index}`);
    assert.equal(framesOf(`${file}.mp4`), "h264,64,64,8/1,17");
    const manifest = JSON.parse(readFileSync(`${file}.json`, "utf8"));
    assert.equal(manifest.sha256, digestOf(`${file}.mp4`));
    assert.equal(manifest.prompt, prompt);
    assert.equal(manifest.seed, String(7 + index));
    assert.doesNotMatch(JSON.stringify(manifest), /worker|attempt|20\d\d-/);
  }
  assert.equal(new Set(Object.values(bytesIn("two"))).size, 2 * demoPrompts.length);
});

test("one worker gives the bytes of two, and so do three threads", async () => {
  await render("one", "--prompts", prompts, "--seed", "7", "--workers", "1", "--threads", "1");
  assert.deepEqual(bytesIn("one"), bytesIn("two"));
  const { clips } = await render("threads", "--prompts", prompts, "--seed", "7", "--threads", "3");
  assert.deepEqual(bytesIn("threads"), bytesIn("two"));
  for (const clip of clips) assert.equal(clip.worker, "worker-1");
});

test("clip i of a batch is the clip of seed + i, and another seed gives another", async () => {
  const alone = ["--prompt", demoPrompts[1] ?? "", "--threads", "1"];
  await render("alone", ...alone, "--seed", "8");
  await render("other", ...alone, "--seed", "9");
  const second = bytesIn("two")["sample_0001.mp4"];
  assert.equal(bytesIn("alone")["sample_0000.mp4"], second);
  assert.notEqual(bytesIn("other")["sample_0000.mp4"], second);
});
