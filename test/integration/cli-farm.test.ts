// A farm that stays: `up`, and the commands that talk to it.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { type CliProcess, CliSandbox } from "../support/cli-process.js";

const sandbox = new CliSandbox();
let farm: CliProcess;

before(async () => {
  farm = sandbox.start("up", "--model", "models/demo", "--threads", "1");
  await farm.shows("Ctrl-C stops the farm");
});
after(() => sandbox.dispose());

const quick = ["--model", "models/demo", "--steps", "3", "--policy", "toca"];

async function json(...args: readonly string[]) {
  const { status, stdout, stderr } = await sandbox.run(...args, "--json");
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

test("workers are listed with device, kind and models", async () => {
  const { workers } = await json("workers");
  assert.deepEqual(
    workers.map((worker: { id: string }) => worker.id),
    ["worker-1"],
  );
  assert.equal(workers[0].devices[0].name, "cpu");
  assert.deepEqual(workers[0].devices[0].models, ["demo"]);
});

test("a submitted batch is watched to its end and its files are brought", async () => {
  const submitted = await sandbox.run(
    "submit",
    ...quick,
    "--prompt",
    "a red circle",
    "--name",
    "x",
  );
  assert.equal(submitted.status, 0, submitted.stderr);
  const id = submitted.stdout.trim();
  const output = sandbox.path("watched");
  const watched = await sandbox.run("watch", id, "--output", output);
  assert.equal(watched.status, 0, watched.stderr);
  assert.match(watched.stdout, /1 of 1 clips/);
  assert.ok(existsSync(`${output}/sample_0000.mp4`));
  const { batch, clips } = await json("show", id);
  assert.deepEqual([batch.state, batch.name, clips[0].state], ["succeeded", "x", "published"]);
  const { batches } = await json("ls", "--limit", "1");
  assert.equal(batches[0].id, id);
});

test("the same key makes one batch, and another body under it is refused", async () => {
  const keyed = ["submit", ...quick, "--key", "shots-1", "--prompt"];
  const first = await sandbox.run(...keyed, "a blue star");
  const second = await sandbox.run(...keyed, "a blue star");
  assert.equal(second.stdout, first.stdout);
  const other = await sandbox.run(...keyed, "a green star");
  assert.equal(other.status, 3);
  assert.match(other.stderr, /^tocafarm: ALREADY_EXISTS: .*shots-1/);
});

test("a cancelled batch stops, and a watch of it ends with that", async () => {
  const long = ["--model", "models/demo", "--steps", "1000", "--prompt", "a red circle"];
  const { batch } = await json("submit", ...long);
  const watch = sandbox.start("watch", batch.id);
  await watch.shows("rendering on worker-1");
  const cancelled = await sandbox.run("cancel", batch.id);
  assert.equal(cancelled.stdout, `batch ${batch.id} is cancelled\n`);
  const { status, stderr } = await watch.ended;
  assert.equal(status, 130);
  assert.match(stderr, /tocafarm: CANCELLED: batch .* was cancelled\n$/);
});

test("an unknown batch and an unknown model are named", async () => {
  const unknown = await sandbox.run("show", "b000000000000");
  assert.deepEqual([unknown.status, unknown.stdout], [3, ""]);
  assert.match(unknown.stderr, /^tocafarm: NOT_FOUND: .*b000000000000/);
  const model = await sandbox.run("submit", "--model", "nope", "--prompt", "x");
  assert.match(model.stderr, /^tocafarm: FAILED_PRECONDITION: .*"nope"/);
});

test("Ctrl-C ends the farm with nothing left", async () => {
  farm.child.kill("SIGINT");
  assert.equal((await farm.ended).status, 0);
  await sandbox.allGone(2_000);
});
