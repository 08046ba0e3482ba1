// One lease ahead: when a device asks for it, when it is begun, and how it is given back.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { AgentStage } from "../test/support/worker-agent.js";
import { testLease } from "../test/support/worker-link-server.js";

const first = testLease({}, { steps: 10 });
const second = testLease({ again: first, attempt: 2 });

function stageOf(stage: AgentStage, attempt: number): string | undefined {
  return stage.agent.progress().attempts.find((told) => told.attempt?.attempt === attempt)?.stage;
}

/** Holds both attempts, of which the first is being finished and the second denoised. */
async function bothOnEngine(t: TestContext) {
  const stage = await AgentStage.of(t);
  stage.agent.onLease(first);
  stage.agent.onLease(second);
  await stage.job(1);
  stage.engine.tells({ type: "stage_ended", stage: "denoise", seconds: 1 });
  return { stage, next: await stage.job(2) };
}

/** Holds both attempts, of which the first waits for the store and the second has the engine. */
async function oneInStore(t: TestContext) {
  const stage = await AgentStage.of(t);
  stage.agent.onLease(first);
  stage.agent.onLease(second);
  const job = await stage.job(1);
  stage.store.hold();
  await stage.renders(job);
  return { stage, next: await stage.job(2) };
}

test("a device asks for its next lease in the last two steps or seconds", async (t) => {
  for (const [stepSeconds, asksAt] of [
    [60, 8],
    [0.5, 6],
  ] as const) {
    const stage = await AgentStage.of(t);
    stage.agent.onLease(first);
    await stage.job(1);
    stage.engine.tells({ type: "stage", stage: "denoise" });
    for (let step = 1; step <= 10; step += 1) {
      stage.steps(step, [stepSeconds]);
      const asked = stage.agent.progress().idleDevices.length === 1;
      assert.equal(asked, step >= asksAt, `${stepSeconds} s a step, after step ${step}`);
    }
  }
});

test("the next attempt waits, and begins while the one before is being stored", async (t) => {
  const stage = await AgentStage.of(t);
  stage.agent.onLease(first);
  stage.agent.onLease(second);
  const job = await stage.job(1);
  assert.equal(stageOf(stage, 2), "", "it is not begun");
  stage.store.hold();
  await stage.renders(job);
  await stage.job(2);
  assert.equal(stageOf(stage, 1), "upload");
  assert.equal(stageOf(stage, 2), "load");
  stage.engine.tells({ type: "stage", stage: "decode" });
  assert.deepEqual(stage.agent.progress().idleDevices, [], "a slow store holds the device back");
  stage.store.release();
  await stage.becomes(() => stage.reported.includes("completed"), "the first is stored");
  assert.deepEqual(stage.agent.progress().idleDevices, ["cpu"]);
});

test("the next attempt begins while the one before is decoded, and no third one", async (t) => {
  const stage = await AgentStage.of(t);
  stage.agent.onLease(first);
  stage.agent.onLease(second);
  const job = await stage.job(1);
  stage.engine.tells({ type: "stage", stage: "denoise" });
  assert.equal(stage.engine.jobs.length, 1);
  stage.engine.tells({ type: "stage_ended", stage: "denoise", seconds: 1 });
  stage.engine.tells({ type: "stage", stage: "decode" });
  const next = await stage.job(2);
  stage.engine.tells({ type: "stage", stage: "denoise" }, 2);
  assert.equal(stageOf(stage, 1), "decode");
  assert.equal(stageOf(stage, 2), "denoise");
  stage.steps(9, [1]);
  assert.deepEqual(stage.agent.progress().idleDevices, [], "two are held");
  await stage.finishes(job);
  await stage.becomes(() => stage.reported.includes("completed"), "the first is stored");
  assert.deepEqual(stage.agent.progress().idleDevices, ["cpu"]);
  await stage.finishes(next);
  assert.deepEqual(stage.reported, ["deviceChanged", "completed", "completed"]);
});

test("an encoder that fails while the next clip is denoised leaves that alone", async (t) => {
  const { stage, next } = await bothOnEngine(t);
  const full = { code: "IO", message: "the disk is full", engineUsable: true } as const;
  stage.engine.tells({ type: "failed", ...full }, 1);
  await stage.becomes(() => stage.reported.includes("failed"), "the first has failed");
  await stage.finishes(next);
  assert.deepEqual(stage.reported, ["deviceChanged", "failed", "completed"]);
});

test("each of two attempts is stopped by itself", async (t) => {
  const { stage } = await bothOnEngine(t);
  stage.agent.onCancel({ attempt: second.attempt, reason: "cancelled" });
  stage.agent.onCut({ attempt: first.attempt, reason: "preempted" });
  assert.deepEqual(stage.engine.sent.slice(-2), [
    { type: "cancel", clip: 2 },
    { type: "cut", clip: 1 },
  ]);
});

test("an engine that dies takes both of its attempts, and each is told", async (t) => {
  const { stage } = await bothOnEngine(t);
  stage.engine.dies();
  const failures = () =>
    stage.said.flatMap((said) => (said.$case === "failed" ? [said.value] : []));
  await stage.becomes(() => failures().length === 2, "both have failed");
  for (const { failure, childDead } of failures()) {
    assert.equal(failure?.code, "ENGINE_CRASH");
    assert.ok(childDead);
  }
  assert.deepEqual(
    failures()
      .map(({ attempt }) => attempt?.attempt)
      .sort(),
    [1, 2],
  );
});

test("an engine that dies while the clip before is stored takes only its own", async (t) => {
  const { stage } = await oneInStore(t);
  stage.engine.dies();
  await stage.becomes(() => stage.reported.includes("failed"), "the second has failed");
  stage.store.release();
  await stage.becomes(() => stage.reported.includes("completed"), "the first is stored");
  assert.equal(stage.agent.hello().failed[0]?.failure?.code, "ENGINE_CRASH");
  assert.equal(stage.agent.hello().completed[0]?.attempt?.attempt, 1);
});

test("a cancel of a clip that is being stored leaves the one on the engine alone", async (t) => {
  const { stage, next } = await oneInStore(t);
  stage.agent.onCancel({ attempt: first.attempt, reason: "cancelled" });
  stage.store.release();
  await stage.becomes(() => stage.reported.includes("failed"), "the first is cancelled");
  await stage.finishes(next);
  assert.deepEqual(stage.reported, ["deviceChanged", "failed", "completed"]);
  assert.ok(!stage.engine.sent.some(({ type }) => type === "cancel"));
  const keys = await stage.store.keys();
  assert.ok(
    keys.every((key) => key.startsWith(second.artifactPrefix)),
    keys.join(),
  );
});

for (const how of ["cancelled", "cut", "drained", "engine died"] as const) {
  test(`an attempt that is not begun is given back at once: ${how}`, async (t) => {
    const stage = await AgentStage.of(t);
    const hurry = new AbortController();
    t.after(() => hurry.abort());
    stage.agent.onLease(first);
    stage.agent.onLease(second);
    await stage.job(1);
    const { attempt } = second;
    if (how === "cancelled") stage.agent.onCancel({ attempt, reason: "revoked" });
    if (how === "cut") stage.agent.onCut({ attempt, reason: "preempted" });
    if (how === "drained") void stage.agent.drain(60_000, hurry.signal);
    if (how === "engine died") stage.engine.dies();
    const given = stage.said.flatMap((said) => (said.$case === "failed" ? [said.value] : []));
    assert.equal(given[0]?.attempt?.attempt, 2);
    assert.equal(given[0]?.failure?.code, how === "cancelled" ? "CANCELLED" : "INTERRUPTED");
    assert.ok(given[0]?.childDead);
    assert.equal(stage.engine.jobs.length, 1);
    assert.equal(stageOf(stage, 2), undefined);
  });
}
