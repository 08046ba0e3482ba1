// Checkpoints, cuts and resumes as the agent sees them: what is stored, told, told again and gone
// on from.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { checkpointKey } from "../common/ids.js";
import type { Checkpoint } from "../proto/gen/tocafarm/v1/worker.js";
import { AgentStage } from "../test/support/worker-agent.js";
import { testLease } from "../test/support/worker-link-server.js";

const lease = testLease();
const next = testLease({ again: lease, attempt: 2 });

function told(stage: AgentStage): readonly Checkpoint[] {
  return stage.said.flatMap((said) => (said.$case === "checkpoint" ? [said.value] : []));
}

/** A clip of ten steps, two of them done. */
async function begun(t: TestContext) {
  const stage = await AgentStage.of(t);
  stage.agent.onLease(lease);
  const job = await stage.job(1);
  stage.engine.tells({ type: "stage", stage: "denoise" });
  stage.steps(2, [1, 1]);
  return { stage, job };
}

test("a checkpoint is stored, told with the totals before it, and repeated by Hello", async (t) => {
  const { stage, job } = await begun(t);
  await stage.keeps(job, 2);
  stage.steps(3, [1]);
  await stage.becomes(() => told(stage).length === 1, "the checkpoint is told");
  const [checkpoint] = told(stage);
  const key = checkpointKey(lease.clipId, 1, 2);
  assert.equal(checkpoint?.step, 2);
  assert.equal(checkpoint.artifact?.key, key);
  assert.equal(checkpoint.totals?.denoiseSeconds, 2);
  assert.equal(checkpoint.totals.tokensComputed, 5n);
  assert.deepEqual(await stage.store.keys(), [key]);
  assert.deepEqual(stage.agent.hello().checkpoints, [checkpoint]);
});

test("while one is being stored only the newest of the others is kept", async (t) => {
  const { stage, job } = await begun(t);
  stage.store.hold();
  for (const step of [2, 3, 4, 5]) await stage.keeps(job, step);
  stage.store.release();
  await stage.becomes(() => told(stage).length === 2, "two are told");
  assert.deepEqual(
    told(stage).map(({ step }) => step),
    [2, 5],
  );
  const { body } = await stage.metrics.scrape();
  assert.match(body, /tocafarm_checkpoints_total\{outcome="skipped"\} 2\n/);
  assert.match(body, /tocafarm_checkpoints_total\{outcome="stored"\} 2\n/);
});

test("a checkpoint that cannot be kept is counted, and the clip goes on", async (t) => {
  const { stage, job } = await begun(t);
  stage.engine.tells({ type: "checkpoint_failed", step: 2, message: "the disk is full" });
  stage.store.full = true;
  await stage.keeps(job, 3);
  await stage.becomes(() => stage.store.begun.length === 1, "the store was asked");
  stage.store.full = false;
  await stage.finishes(job);
  assert.deepEqual(stage.reported, ["deviceChanged", "completed"]);
  const { body } = await stage.metrics.scrape();
  assert.match(body, /tocafarm_checkpoints_total\{outcome="failed"\} 2\n/);
});

test("a checkpoint that a completed clip left under way is neither told nor kept", async (t) => {
  const { stage, job } = await begun(t);
  stage.store.hold("checkpoints/");
  await stage.keeps(job, 2);
  await stage.finishes(job);
  stage.store.release();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(stage.reported, ["deviceChanged", "completed"]);
  assert.ok((await stage.store.keys()).every((key) => key.startsWith("clips/")));
});

test("a cut is answered by the checkpoint, then by INTERRUPTED with its reason", async (t) => {
  const { stage, job } = await begun(t);
  stage.agent.onCut({ attempt: lease.attempt, reason: "preempted" });
  stage.agent.onCut({ attempt: lease.attempt, reason: "preempted" });
  assert.equal(stage.engine.sent.filter(({ type }) => type === "cut").length, 1);
  stage.store.hold();
  await stage.keeps(job, 2);
  stage.fails("INTERRUPTED");
  await stage.becomes(() => stage.agent.progress().idleDevices.length === 1, "the engine is free");
  assert.deepEqual(stage.reported, ["deviceChanged"], "nothing is told before it is stored");
  stage.store.release();
  await stage.becomes(() => stage.reported.includes("failed"), "it is handed back");
  assert.deepEqual(stage.reported, ["deviceChanged", "checkpoint", "failed"]);
  const hello = stage.agent.hello();
  const failure = { code: "INTERRUPTED", message: "the attempt was preempted" };
  assert.deepEqual(hello.failed[0]?.failure, failure);
  assert.deepEqual(hello.checkpoints, told(stage), "both may have been lost");
});

test("a cut that comes too late leaves the clip to be completed", async (t) => {
  const { stage, job } = await begun(t);
  stage.agent.onCut({ attempt: lease.attempt, reason: "paused" });
  await stage.finishes(job);
  assert.equal(stage.reported.at(-1), "completed");
});

test("an engine that dies leaves what it had stored, told before its end", async (t) => {
  const { stage, job } = await begun(t);
  stage.store.hold();
  await stage.keeps(job, 2);
  stage.engine.dies();
  stage.store.release();
  await stage.becomes(() => stage.reported.includes("failed"), "the crash is told");
  assert.deepEqual(stage.reported.slice(-2), ["checkpoint", "failed"]);
});

test("a resumed attempt goes on with the checkpoint, its step and its totals", async (t) => {
  const { stage, job } = await begun(t);
  await stage.keeps(job, 2);
  await stage.becomes(() => told(stage).length === 1, "the checkpoint is told");
  stage.agent.onCut({ attempt: lease.attempt, reason: "drained" });
  stage.fails("INTERRUPTED");
  const resume = told(stage)[0];
  stage.agent.onLease({ ...next, resume });
  const resumed = await stage.job(2);
  assert.equal(resumed.firstStep, 2);
  assert.equal(await readFile(resumed.resumeFromPath ?? "", "utf8"), "state before step 2");
  assert.equal(stage.agent.progress().attempts[0]?.step, 2);
  stage.steps(3, [1]);
  const totals = stage.agent.progress().attempts[0]?.totals;
  assert.equal(totals?.denoiseSeconds, 3);
  assert.equal(totals.tokensReused, 14n);
  assert.equal(totals.flops, 20);
  assert.equal(totals.flopsNone, 60);
  await stage.finishes(resumed);
  const manifest: string[] = [];
  for await (const chunk of stage.store.get(`${next.artifactPrefix}manifest.json`)) {
    manifest.push(Buffer.from(chunk).toString());
  }
  assert.deepEqual(JSON.parse(manifest.join("")).resumed_from, { step: 2 });
});

test("a checkpoint that is gone or changed is refused, and the device goes on", async (t) => {
  const { stage, job } = await begun(t);
  await stage.keeps(job, 2);
  await stage.becomes(() => told(stage).length === 1, "the checkpoint is told");
  await stage.finishes(job);
  const [kept] = told(stage);
  assert.ok(kept?.artifact);
  const wrong = [
    { ...kept, artifact: { ...kept.artifact, key: "checkpoints/x/1-2.safetensors" } },
    { ...kept, artifact: { ...kept.artifact, sha256: "0".repeat(64) } },
    { ...kept, artifact: { ...kept.artifact, key: "../../etc/passwd" } },
    { ...kept, artifact: undefined },
  ];
  for (const [index, resume] of wrong.entries()) {
    const before = stage.said.length;
    stage.agent.onLease({ ...testLease({ again: lease, attempt: index + 2 }), resume });
    await stage.becomes(() => stage.said.length > before, "it is refused");
    const said = stage.said.at(-1);
    assert.ok(said?.$case === "failed");
    assert.equal(said.value.failure?.code, "INVALID_CHECKPOINT");
  }
  assert.equal(stage.engine.jobs.length, 1);
  assert.deepEqual(stage.agent.progress().idleDevices, ["cpu"]);
});

test("a store that is away costs a clip no checkpoint: it is handed back", async (t) => {
  const { stage, job } = await begun(t);
  await stage.keeps(job, 2);
  await stage.becomes(() => told(stage).length === 1, "the checkpoint is told");
  await stage.finishes(job);
  stage.store.away = true;
  const before = stage.said.length;
  stage.agent.onLease({ ...next, resume: told(stage)[0] });
  await stage.becomes(() => stage.said.length > before, "it is handed back");
  const said = stage.said.at(-1);
  assert.ok(said?.$case === "failed");
  assert.equal(said.value.failure?.code, "UNAVAILABLE");
  assert.match(said.value.failure.message, /waits for the store: the store does not answer/);
  stage.store.away = false;
  stage.agent.onLease({ ...testLease({ again: lease, attempt: 3 }), resume: told(stage)[0] });
  assert.equal((await stage.job(2)).firstStep, 2);
});
