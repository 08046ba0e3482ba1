// A worker that is told to stop: what fits the grace ends, the rest is cut and kept, and what does
// not let itself be cut is handed back before it is killed.
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { type TestLease, testLease, WorkerLinkServer } from "../support/worker-link-server.js";
import {
  descendants,
  eventually,
  isAlive,
  startWorkerProcess,
  type WorkerProcess,
} from "../support/worker-process.js";

const coordinator = new WorkerLinkServer();
before(() => coordinator.start());
after(() => coordinator.stop());

interface Busy {
  readonly worker: WorkerProcess;
  readonly lease: TestLease;
}

/** A worker with a clip of so many steps of 20 ms, a few of them done. */
async function busy(
  t: TestContext,
  { steps, graceSeconds, prompt }: { steps: number; graceSeconds: number; prompt?: string },
): Promise<Busy> {
  const said = coordinator.said.length;
  const flags = ["--grace-seconds", String(graceSeconds)];
  const worker = await startWorkerProcess(t, {
    coordinator: coordinator.address,
    ...{ stepMs: 20, flags },
  });
  await coordinator.idle(said);
  const lease = testLease(prompt === undefined ? {} : { prompt }, { steps });
  coordinator.lease(lease);
  await coordinator.reached(lease.attempt, 5);
  return { worker, lease };
}

async function allGone(pids: readonly number[]): Promise<void> {
  const gone = async () => (await Promise.all(pids.map(isAlive))).every((alive) => !alive);
  await eventually(gone, { limitMs: 2_000, what: `the processes ${pids.join(", ")} are gone` });
}

test("a clip that ends within the grace is completed, and no lease is asked for", async (t) => {
  const { worker, lease } = await busy(t, { steps: 60, graceSeconds: 30 });
  const said = coordinator.said.length;
  worker.child.kill("SIGTERM");
  const progress = await coordinator.progress(({ draining }) => draining, said);
  assert.deepEqual(progress.idleDevices, []);
  await coordinator.completed(lease.attempt);
  assert.equal(await worker.ended(), 0);
  const asking = coordinator.said.slice(said).some((message) => {
    return message.$case === "progress" && message.value.idleDevices.length > 0;
  });
  assert.ok(!asking);
});

test("a clip that does not end within the grace is cut at once, with a checkpoint", async (t) => {
  const { worker, lease } = await busy(t, { steps: 1000, graceSeconds: 15 });
  const beganMs = performance.now();
  worker.child.kill("SIGTERM");
  const failed = await coordinator.failed(lease.attempt);
  assert.deepEqual(failed.failure, { code: "INTERRUPTED", message: "drained" });
  assert.ok(failed.childDead);
  assert.equal(coordinator.checkpoints(lease.attempt).length, 1);
  assert.equal(await worker.ended(), 0);
  assert.ok(performance.now() - beganMs < 10_000, "before the grace is over");
});

test("an engine that does not let itself be cut is handed back, then killed", async (t) => {
  const { worker, lease } = await busy(t, { steps: 1000, graceSeconds: 2, prompt: "uncut" });
  const started = await descendants(worker.pid);
  worker.child.kill("SIGTERM");
  const failed = await coordinator.failed(lease.attempt);
  assert.deepEqual(failed.failure, { code: "INTERRUPTED", message: "drained" });
  assert.ok(!failed.childDead, "it may still be at work");
  assert.equal(await worker.ended(), 0);
  await allGone(started);
});

test("a second signal ends the grace", async (t) => {
  const { worker, lease } = await busy(t, { steps: 1000, graceSeconds: 600, prompt: "uncut" });
  const started = await descendants(worker.pid);
  const said = coordinator.said.length;
  worker.child.kill("SIGTERM");
  await coordinator.progress(({ draining }) => draining, said);
  worker.child.kill("SIGINT");
  const failed = await coordinator.failed(lease.attempt);
  assert.equal(failed.failure?.code, "INTERRUPTED");
  assert.equal(await worker.ended(), 0);
  await allGone(started);
});

test("what waits for the engine is given back as soon as the worker drains", async (t) => {
  const { worker, lease } = await busy(t, { steps: 60, graceSeconds: 30 });
  const next = testLease({ again: lease, attempt: 2 });
  coordinator.lease(next);
  await coordinator.progress(({ attempts }) => attempts.length === 2);
  worker.child.kill("SIGTERM");
  const given = await coordinator.failed(next.attempt);
  assert.deepEqual(given.failure, { code: "INTERRUPTED", message: "drained" });
  await coordinator.completed(lease.attempt);
  assert.equal(await worker.ended(), 0);
});
