// `tocafarm compare` from prompts to the report, on the demo model with few steps: what it says of
// policies whose quality is known, and how it goes on with what is there.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { after, test } from "node:test";
import { lockFolder } from "../../common/folder-lock.js";
import { CliSandbox } from "../support/cli-process.js";

const sandbox = new CliSandbox();
after(() => sandbox.dispose());

const small = ["--model", "models/demo", "--image-size", "64x64", "--frames", "5"];
const prompt = ["--prompt", "a red circle moves right"];

function compare(folder: string, policies: string, ...more: readonly string[]) {
  return sandbox.run(
    ...["compare", ...small, "--steps", "4", ...prompt, "--seeds", "2"],
    ...["--policies", policies, "--out", folder, ...more],
  );
}

function reportOf(folder: string) {
  return JSON.parse(readFileSync(`${folder}/report.json`, "utf8"));
}

const folder = sandbox.path("two");

test("a report says what each policy cost and how near it came", async () => {
  // With an interval of 1 every step is full: the bits of none.
  const { status, stdout, stderr } = await compare(folder, "fora(interval=1),fora(interval=4)");
  assert.equal(status, 0, stderr);
  const { policies, clips, measures } = reportOf(folder);
  assert.deepEqual(
    policies.map(({ label }: { label: string }) => label),
    [...["none", "steps(ratio=0.5)", "fora(interval=1)", "fora(interval=4)"]],
  );
  assert.deepEqual(
    clips.map(({ seed }: { seed: string }) => seed),
    ["42", "43"],
  );
  assert.equal(measures.ms_ssim_scales, 3);
  const [none, half, equal, reuse] = policies;
  assert.equal(none.quality, null);
  assert.equal(half.flops_ratio, 2);
  const { vmaf: _vmaf, ...exact } = equal.quality;
  assert.deepEqual(exact, { psnr_db: 100, ssim: 1, ms_ssim: 1 });
  assert.ok(half.quality.psnr_db > 5 && half.quality.psnr_db < reuse.quality.psnr_db);
  // warm = 3: of four steps only the last one reuses.
  assert.equal(reuse.hit_rate, 0.25);
  assert.deepEqual(reuse.hit_rates.rates[0], [0, 0, 0, 1]);
  assert.equal(reuse.hit_rates.modules.length, 6 * 2 * 3);
  assert.ok(reuse.cache_bytes > 0 && reuse.seconds.denoise > 0);
  assert.match(stdout, /^fora\(interval=1\) .*100\.00 +1\.0000 +1\.0000/m);
  assert.match(stdout, /^report: .*report\.html$/m);
  assert.match(readFileSync(`${folder}/report.html`, "utf8"), /src="data:video\/mp4;base64/);
  assert.ok(existsSync(`${folder}/quality.svg`));
  assert.ok(existsSync(`${folder}/${reuse.clips[1].file}`));
  assert.deepEqual(readdirSync(sandbox.path("data")), [], "the temporary data folder is gone");
  await sandbox.allGone(2_000);
});

test("a further policy joins what is there, which is not rendered again", async () => {
  const { status, stdout, stderr } = await compare(folder, "toca,fora(interval=4)", "--json");
  assert.equal(status, 0, stderr);
  assert.equal(stderr.match(/warning/g)?.length ?? 0, 0, "--json is quiet");
  const { policies } = JSON.parse(stdout);
  assert.deepEqual(policies, reportOf(folder).policies);
  const before = readFileSync(`${folder}/none/clip_0000.record.json`, "utf8");
  const again = await compare(folder, "toca,fora(interval=4)");
  assert.equal(again.status, 0, again.stderr);
  assert.doesNotMatch(again.stderr, /clips/);
  assert.equal(readFileSync(`${folder}/none/clip_0000.record.json`, "utf8"), before);
  rmSync(`${folder}/toca/clip_0001.frames.mkv`);
  const mended = await compare(folder, "toca,fora(interval=4)");
  assert.match(mended.stderr, /^toca: 1 of 2 clips, /m);
  assert.doesNotMatch(mended.stderr, /^none: /m);
});

test("other prompts or settings do not get into the same folder", async () => {
  const asked = ["compare", ...small, "--policies", "fora", "--out", folder];
  const prompts = await sandbox.run(...asked, "--steps", "4", "--prompt", "a blue star spins");
  assert.equal(prompts.status, 4);
  assert.match(prompts.stderr, /holds clips of other prompts or seeds.*choose another --out/);
  const steps = await sandbox.run(...asked, "--steps", "5", ...prompt);
  assert.match(steps.stderr, /holds a comparison with another steps: choose another --out/);
});

test("a folder that another comparison works in is left alone", async () => {
  const lock = await lockFolder(folder);
  const { status, stderr } = await compare(folder, "fora");
  await lock.release();
  assert.equal(status, 4);
  assert.match(stderr, /in use by another process: stop it or choose another --out/);
});

test("an interrupted comparison goes on with the clips that it lacks", async () => {
  const out = sandbox.path("interrupted");
  const args = ["compare", ...small, "--steps", "200", ...prompt, "--seeds", "4"];
  const asked = [...args, "--policies", "fora", "--out", out];
  const first = sandbox.start(...asked);
  await first.shows("clip 0001 done");
  first.child.kill("SIGINT");
  const { status, stderr } = await first.ended;
  assert.equal(status, 130, stderr);
  await sandbox.allGone(2_000);
  assert.ok(!existsSync(`${out}/report.html`));
  const again = await sandbox.run(...asked);
  assert.equal(again.status, 0, again.stderr);
  assert.match(again.stderr, /^none: [12] of 4 clips, /m);
  assert.equal(reportOf(out).policies[0].clips.length, 4);
});

test("images are compared as they are", async () => {
  const out = sandbox.path("images");
  const args = ["compare", ...small.slice(0, 4), "--frames", "1", "--steps", "4", ...prompt];
  const { status, stderr } = await sandbox.run(...args, "--policies", "fora", "--out", out);
  assert.equal(status, 0, stderr);
  const { policies } = reportOf(out);
  assert.match(policies[2].clips[0].file, /\.png$/);
  assert.ok(policies[2].quality.psnr_db > policies[1].quality.psnr_db);
  assert.match(readFileSync(`${out}/report.html`, "utf8"), /<img src="data:image\/png;base64/);
});
