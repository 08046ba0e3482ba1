// The farm's verbs on the command line, against a real coordinator with an agent that the test
// plays: what they do, what they print, and how a refusal reads.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type TestContext, test } from "node:test";
import type { Lease } from "../../proto/gen/tocafarm/v1/worker.js";
import { CliSandbox } from "../support/cli-process.js";
import { completion, farmWithAgent, newAgent } from "../support/coordinator-agent.js";
import { eventually } from "../support/coordinator-process.js";

async function farmWithCli(t: TestContext) {
  const farm = await farmWithAgent(t);
  const sandbox = new CliSandbox();
  t.after(() => sandbox.dispose());
  const at = ["--coordinator", farm.coordinator.grpc];
  const run = (command: string, ...args: readonly string[]) => sandbox.run(command, ...args, ...at);
  return {
    ...farm,
    sandbox,
    run,
    /** Runs to success; what it printed. */
    said: async (command: string, ...args: readonly string[]) => {
      const { status, stdout, stderr } = await run(command, ...args);
      assert.equal(status, 0, stderr);
      return stdout.trimEnd();
    },
    /** Runs to a refusal; the one line that says why. */
    refused: async (command: string, ...args: readonly string[]) => {
      const { status, stdout, stderr } = await run(command, ...args);
      assert.notEqual(status, 0, stdout);
      assert.equal(stdout, "");
      assert.match(stderr, /^tocafarm: [A-Z_]+: .*\n$/);
      return stderr.trimEnd();
    },
  };
}

test("pause, resume, priority and move tell how the batch stands", async (t) => {
  const { coordinator, agent, said, refused } = await farmWithCli(t);
  const { id } = await coordinator.submit(["one", "two"]);
  const lease = await agent.lease();
  agent.hold([lease.attempt], 1);
  await eventually(async () =>
    (await coordinator.get(id)).clips[0]?.state === "CLIP_STATE_RUNNING" ? true : undefined,
  );
  assert.equal(await said("pause", id), `batch ${id} is paused, in tier 2`);
  assert.equal(await said("pause", id, "--cut"), `batch ${id} is paused, in tier 2`);
  assert.equal((await eventually(() => agent.cuts[0])).reason, "paused");
  assert.match(await said("ls"), new RegExp(`^${id} +test +default +2 +paused +0/2`, "m"));
  assert.equal(await said("resume", id), `batch ${id} is active, in tier 2`);
  assert.equal(await said("priority", id, "0"), `batch ${id} is active, in tier 0`);
  assert.equal(JSON.parse(await said("move", id, "last", "--json")).batch.priority, 0);
  assert.match(await refused("resume", "b000000000000"), /NOT_FOUND: there is no batch b0000/);
  await said("cancel", id);
  assert.match(await refused("pause", id), /FAILED_PRECONDITION: batch .* was cancelled/);
  assert.match(await refused("retry", id), /FAILED_PRECONDITION: batch .* cannot be retried/);
});

test("clips are skipped, retried and promoted by their places", async (t) => {
  const { coordinator, agent, said, refused } = await farmWithCli(t);
  const { id } = await coordinator.submit(["one", "two", "three", "four"]);
  const skipped = await said("skip", id, "0-1,3");
  assert.equal(skipped, `batch ${id} is queued: 3 clips skipped`);
  assert.equal(await said("retry", id, "3"), `batch ${id} is queued: 1 clip queued again`);
  assert.equal(await said("promote", id, "3"), `batch ${id} is queued: 1 clip put first`);
  assert.equal((await agent.lease()).clipIndex, 3);
  const nothing = JSON.parse(await said("retry", id, "--json"));
  assert.equal(nothing.clipsChanged, 0, "nothing has failed");
  assert.match(await refused("skip", id, "4"), /clip 4 .*the batch has clips 0 to 3/);
  assert.match(await said("show", id), /skipped or rejected: 2/);
});

test("a preview is submitted, watched, brought and judged", async (t) => {
  const { data, agent, sandbox, said, run } = await farmWithCli(t);
  const prompts = ["--prompt", "a red circle", "--prompt", "a blue star"];
  const preview = ["--preview-steps", "3", "--preview-policy", "fora"];
  const size = ["--frames", "17", "--image-size", "64x64", "--steps", "10"];
  const more = ["--preview-policy-option", "interval=3", "--tenant", "films", "--deadline", "2h"];
  const args = ["--model", "demo", ...prompts, ...preview, ...size, ...more, "--json"];
  const { batch } = JSON.parse(await said("submit", ...args));
  assert.deepEqual(batch.preview, {
    steps: 3,
    policy: { name: "fora", options: { interval: "3" } },
  });
  assert.equal(batch.tenant, "films");
  assert.ok(Date.parse(batch.deadline) > Date.now() + 7_000_000);
  const output = sandbox.path("previews");
  const watched = run("watch", batch.id, "--output", output);
  for (let i = 0; i < 2; i++) agent.say(completed(data, await agent.lease(), `preview ${i}`));
  const { status, stdout, stderr } = await watched;
  assert.equal(status, 0, stderr);
  assert.match(
    stdout,
    new RegExp(`2 previews wait for your verdict: tocafarm approve ${batch.id}`),
  );
  assert.match(stderr, /clip 0000 preview done, waits for a verdict/);
  assert.equal(readFileSync(`${output}/sample_0001.preview.mp4`, "utf8"), "preview 1");
  const shown = await said("show", batch.id);
  assert.match(shown, /preview first: 3 steps, policy fora/);
  assert.match(shown, new RegExp(`${batch.id}.000001: preview clips/`));
  const rejected = await said("reject", batch.id, "1");
  assert.equal(rejected, `batch ${batch.id} is awaiting approval: 1 clip rejected`);
  const approved = await said("approve", batch.id);
  assert.equal(approved, `batch ${batch.id} is active: 1 clip approved`);
  const following = run("watch", batch.id, "--output", output);
  agent.say(completed(data, await agent.lease(), "final"));
  const end = await following;
  assert.equal(end.status, 0, end.stderr);
  assert.equal(readFileSync(`${output}/sample_0000.mp4`, "utf8"), "final");
  assert.equal(existsSync(`${output}/sample_0001.mp4`), false);
});

/** The agent's report, with its file in the store of the coordinator. */
function completed(data: string, lease: Lease, content: string) {
  const key = `${lease.artifactPrefix}clip.mp4`;
  const file = path.join(data, "artifacts", key);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  return { $case: "completed", value: completion(lease.attempt, key, content) } as const;
}

test("workers are listed, drained and released, and the farm shows its tenants", async (t) => {
  const { coordinator, agent, said, refused } = await farmWithCli(t);
  await newAgent(t, coordinator, "w2");
  await coordinator.submit(["one", "two"], { tenant: "films" });
  const lease = await agent.lease();
  agent.hold([lease.attempt], 1);
  assert.match(await said("workers"), /^w1 +cpu +busy +b.*\.000000\.0\/1 .* demo +cpu-test$/m);
  assert.match(await said("drain", "w2"), /^w2 +cpu +idle, draining/m);
  assert.match(await said("drain", "w2", "--undo"), /^w2 +cpu +idle +/m);
  assert.match(await refused("drain", "w3"), /NOT_FOUND: there is no worker w3/);
  assert.match(await refused("release", "w1", "cuda:1"), /NOT_FOUND: /);
  const farm = await said("farm");
  assert.match(farm, /^pool default, led by 127\.0\.0\.1:\d+ in term 1, log at \d+$/m);
  assert.match(farm, /^backlog: [\d.]+ .*of one device/m);
  assert.match(farm, /^films +1 +1 +1 /m);
  const { farm: plain } = JSON.parse(await said("farm", "--json"));
  assert.deepEqual([plain.tenants[0].tenant, plain.tenants[0].clipsRunning], ["films", 1]);
  agent.complete(lease);
});

test("a link says that a folder gives none, and why a clip has no video", async (t) => {
  const { coordinator, agent, refused } = await farmWithCli(t);
  const { id } = await coordinator.submit(["one"]);
  const none = await refused("link", `${id}.000000`);
  assert.match(none, /FAILED_PRECONDITION: clip .* is queued and has no published video/);
  assert.match(await refused("link", `${id}.000001`), /NOT_FOUND: batch .* has no clip 1/);
  agent.complete(await agent.lease());
  await eventually(async () =>
    (await coordinator.get(id)).batch?.clipsPublished === 1 ? true : undefined,
  );
  assert.match(await refused("link", `${id}.0`), /FAILED_PRECONDITION: .* gives no links/);
  assert.match(await refused("link", `${id}.0`, "--valid", "8d"), /valid_seconds is 691200/);
});
