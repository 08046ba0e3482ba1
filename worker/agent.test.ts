// The agent between a link and an engine process that the test plays: what it says, and what it
// says again.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { AgentStage, stepsMessage } from "../test/support/worker-agent.js";
import { testLease } from "../test/support/worker-link-server.js";

const first = testLease();
const second = testLease({ again: first, attempt: 2 });
const third = testLease({ again: first, attempt: 3 });

test("a lease that is said twice is rendered once, and its report repeated", async (t) => {
  const stage = await AgentStage.of(t);
  stage.agent.onLease(first);
  stage.agent.onLease(first);
  await stage.finishes(await stage.job(1));
  stage.agent.onLease(first);
  assert.equal(stage.engine.jobs.length, 1);
  assert.deepEqual(stage.reported, ["deviceChanged", "completed", "completed"]);
});

test("a device that has two clips refuses another one, and goes on", async (t) => {
  const stage = await AgentStage.of(t);
  for (const lease of [first, second, third]) stage.agent.onLease(lease);
  assert.deepEqual(stage.agent.progress().idleDevices, []);
  const refused = stage.said.at(-1);
  assert.ok(refused?.$case === "failed");
  assert.equal(refused.value.failure?.code, "UNAVAILABLE");
  assert.equal(refused.value.attempt?.attempt, 3);
  await stage.finishes(await stage.job(1));
  await stage.finishes(await stage.job(2));
  assert.deepEqual(stage.agent.progress().idleDevices, ["cpu"]);
});

test("Hello repeats reports until a lease proves that all but the newest were heard", async (t) => {
  const stage = await AgentStage.of(t);
  const completed = () => stage.agent.hello().completed.map(({ attempt }) => attempt?.attempt);
  stage.agent.onLease(first);
  stage.agent.onLease(second);
  assert.deepEqual(stage.agent.hello().held, [first.attempt, second.attempt]);
  await stage.finishes(await stage.job(1));
  await stage.finishes(await stage.job(2));
  assert.deepEqual(stage.agent.hello().held, []);
  assert.deepEqual(completed(), [1, 2]);
  assert.deepEqual(completed(), [1, 2]);
  stage.agent.onLease(third);
  await stage.job(3);
  assert.deepEqual(completed(), [2]);
  const before = stage.said.length;
  stage.fails("IO", "disk");
  await stage.becomes(() => stage.said.length > before, "a report");
  assert.deepEqual(stage.agent.hello().failed[0]?.failure, { code: "IO", message: "disk" });
});

test("progress tells stage, steps and totals of the attempt", async (t) => {
  const stage = await AgentStage.of(t);
  stage.agent.onLease(first);
  await stage.job(1);
  stage.engine.tells({ type: "stage", stage: "denoise" });
  stage.engine.tells({ type: "stage_ended", stage: "text_encode", seconds: 0.5 });
  stage.engine.tells(stepsMessage(2, [1, 1]));
  const [told] = stage.agent.progress().attempts;
  assert.equal(told?.stage, "denoise");
  assert.equal(told?.step, 2);
  assert.equal(told?.totals?.tokensComputed, 5n);
  assert.equal(told?.totals?.tokensReused, 7n);
  assert.equal(told?.totals?.flopsNone, 30);
  assert.equal(told?.totals?.textEncodeSeconds, 0.5);
  assert.equal(told?.totals?.denoiseSeconds, 2);
  stage.engine.tells({ type: "stage_ended", stage: "denoise", seconds: 2.5 });
  assert.equal(stage.agent.progress().attempts[0]?.totals?.denoiseSeconds, 2.5);
});

test("a canary is rendered for its digest, and nothing of it stays", async (t) => {
  const stage = await AgentStage.of(t);
  stage.agent.onCanary({ id: "c1", device: "cpu", model: "demo" });
  assert.deepEqual(stage.agent.progress().idleDevices, []);
  const job = await stage.job(1);
  assert.equal(job.plan.frames, 1);
  stage.steps(1, [1]);
  await stage.finishes(job);
  const said = stage.said.at(-1);
  assert.ok(said?.$case === "canaryResult");
  assert.equal(said.value.sha256, createHash("sha256").update("frames").digest("hex"));
  assert.equal(said.value.failure, undefined);
  assert.deepEqual(await stage.store.keys(), []);
  const { body } = await stage.metrics.scrape();
  assert.doesNotMatch(body, /tocafarm_step_seconds_count\{.*\} [1-9]/);
  assert.deepEqual(stage.agent.progress().idleDevices, ["cpu"]);
});

test("a canary waits for the clip before it, and says why it failed", async (t) => {
  const stage = await AgentStage.of(t);
  stage.agent.onLease(first);
  stage.agent.onLease(second);
  stage.agent.onCanary({ id: "c1", device: "cpu", model: "demo" });
  await stage.finishes(await stage.job(1));
  assert.equal((await stage.job(2)).plan.frames, 1);
  stage.fails("IO");
  await stage.finishes(await stage.job(3));
  stage.agent.onCanary({ id: "c2", device: "cpu", model: "other" });
  stage.agent.onCanary({ id: "c3", device: "cuda:9", model: "demo" });
  const results = () =>
    stage.said.flatMap((said) => (said.$case === "canaryResult" ? [said.value] : []));
  await stage.becomes(() => results().length === 3, "three results");
  const codes = results().map(({ id, failure }) => `${id} ${failure?.code}`);
  assert.deepEqual(codes.sort(), ["c1 IO", "c2 NOT_FOUND", "c3 NOT_FOUND"]);
});
