// Two clips on one device: while one is decoded and goes through FFmpeg the next one is denoised,
// and what becomes of one leaves the other alone. Real processes, on the engine's test double.
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { type TestLease, testLease, WorkerLinkServer } from "../support/worker-link-server.js";
import {
  descendants,
  eventually,
  startWorkerProcess,
  type WorkerProcess,
} from "../support/worker-process.js";

const coordinator = new WorkerLinkServer();
before(() => coordinator.start());
after(() => coordinator.stop());

interface Pair {
  readonly worker: WorkerProcess;
  /** In FFmpeg for a second or more. */
  readonly first: TestLease;
  /** Being denoised meanwhile. */
  readonly second: TestLease;
  /** How much was said before both were at work. */
  readonly said: number;
}

const slowToEncode = { frames: 119, height: 512, width: 512, steps: 4 };

/** A worker that finishes one clip and denoises another. */
async function pairAtWork(t: TestContext, secondSteps: number): Promise<Pair> {
  const start = coordinator.said.length;
  const worker = await startWorkerProcess(t, { coordinator: coordinator.address, stepMs: 20 });
  await coordinator.idle(start);
  const first = testLease({}, slowToEncode);
  const second = testLease({}, { steps: secondSteps });
  const said = coordinator.said.length;
  coordinator.lease(first);
  coordinator.lease(second);
  await coordinator.reached(second.attempt, 2);
  return { worker, first, second, said };
}

function stagesSaid(segmentId: string, from: number): readonly (string | undefined)[] {
  const last = coordinator.said.slice(from).findLast((said) => said.$case === "progress");
  const held = last?.$case === "progress" ? last.value.attempts : [];
  return held.filter(({ attempt }) => attempt?.segmentId === segmentId).map(({ stage }) => stage);
}

/** The programs that write files for the engine. */
async function encodersOf(worker: WorkerProcess): Promise<readonly number[]> {
  const [, ...encoders] = [...(await descendants(worker.pid))].sort((a, b) => a - b);
  return encoders;
}

test("a clip is denoised while the one before is written, with the same bytes", async (t) => {
  const { first, second, said } = await pairAtWork(t, 30);
  const [stage] = stagesSaid(first.attempt.segmentId, said);
  assert.ok(stage === "decode" || stage === "encode", `the first is in ${stage}`);
  const [one, two] = await Promise.all([
    coordinator.completed(first.attempt),
    coordinator.completed(second.attempt),
  ]);
  for (const [lease, { artifacts }] of [
    [first, one],
    [second, two],
  ] as const) {
    await coordinator.idle(coordinator.said.length - 1);
    const alone = testLease({}, { ...lease.spec });
    coordinator.lease(alone);
    const undisturbed = await coordinator.completed(alone.attempt);
    assert.equal(artifacts[0]?.sha256, undisturbed.artifacts[0]?.sha256);
  }
});

test("kill -9 of a clip's FFmpeg fails that clip and leaves the next one alone", async (t) => {
  const { worker, first, second } = await pairAtWork(t, 100);
  const encoders = await encodersOf(worker);
  assert.equal(encoders.length, 1);
  for (const encoder of encoders) process.kill(encoder, "SIGKILL");
  const failed = await coordinator.failed(first.attempt);
  assert.equal(failed.failure?.code, "ENCODER_FAILED");
  await coordinator.completed(second.attempt);
  assert.ok(failed.childDead);
});

test("kill -9 of the engine fails both clips, and the device comes back", async (t) => {
  const { worker, first, second } = await pairAtWork(t, 1000);
  const said = coordinator.said.length;
  const [engine] = await descendants(worker.pid);
  assert.ok(engine !== undefined);
  process.kill(engine, "SIGKILL");
  for (const { attempt } of [first, second]) {
    const { failure, childDead } = await coordinator.failed(attempt, said);
    assert.equal(failure?.code, "ENGINE_CRASH");
    assert.ok(childDead);
  }
  await coordinator.idle(said);
  const again = testLease({ again: second, attempt: 2 });
  coordinator.lease(again);
  await coordinator.completed(again.attempt);
});

test("a cancelled clip goes, and the one that is written ends", async (t) => {
  const { worker, first, second } = await pairAtWork(t, 1000);
  const [engine] = await descendants(worker.pid);
  coordinator.cancel(second.attempt);
  assert.equal((await coordinator.failed(second.attempt)).failure?.code, "CANCELLED");
  await coordinator.completed(first.attempt);
  assert.equal((await descendants(worker.pid))[0], engine);
});

test("SIGTERM lets both clips end that end within the grace", async (t) => {
  const { worker, first, second } = await pairAtWork(t, 30);
  worker.child.kill("SIGTERM");
  await coordinator.completed(first.attempt);
  await coordinator.completed(second.attempt);
  assert.equal(await worker.ended(), 0);
  await eventually(async () => (await descendants(worker.pid)).length === 0, {
    limitMs: 5_000,
    what: "no process is left",
  });
});
