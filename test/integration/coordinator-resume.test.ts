// Checkpoints through a real coordinator: what an agent stored is where the next attempt begins, on
// a device of the same kind, and what is no checkpoint of the attempt is none.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Lease } from "../../proto/gen/tocafarm/v1/worker.js";
import {
  checkpointOf,
  farmWithAgent,
  newAgent,
  TestAgent,
  testHelloMessage,
} from "../support/coordinator-agent.js";
import { CoordinatorProcess, eventually, temporaryFolder } from "../support/coordinator-process.js";

/** The newest stored checkpoint of the first clip. */
async function stored(coordinator: CoordinatorProcess, batch: string): Promise<number> {
  return (await coordinator.get(batch)).clips[0]?.checkpointStep ?? 0;
}

function reachesCheckpoint(coordinator: CoordinatorProcess, batch: string, step: number) {
  return eventually(async () => (await stored(coordinator, batch)) === step || undefined);
}

test("a clip of a lost agent goes on elsewhere from its newest checkpoint", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one"]);
  const lease = await agent.lease();
  assert.equal(lease.resume, undefined);
  agent.progress([lease.attempt], 4);
  agent.checkpoint(lease, 2);
  agent.checkpoint(lease, 4);
  await reachesCheckpoint(coordinator, batch.id, 4);
  agent.progress([lease.attempt], 6);
  await eventually(async () =>
    (await coordinator.get(batch.id)).clips[0]?.step === 6 ? true : undefined,
  );
  agent.close();
  const other = await newAgent(t, coordinator, "w2");
  const next = await other.lease();
  assert.equal(next.attempt.attempt, 2);
  const { attempt: _, ...kept } = checkpointOf(lease, 4);
  assert.deepEqual(next.resume?.step, 4);
  assert.deepEqual(next.resume?.artifact, kept.artifact);
  assert.equal(next.resume?.totals?.flops, kept.totals?.flops, "with what was done before it");
  other.complete(next);
  await eventually(async () =>
    (await coordinator.get(batch.id)).batch?.clipsPublished === 1 ? true : undefined,
  );
  const metrics = await coordinator.metrics();
  assert.match(metrics, /tocafarm_attempts_resumed_total 1/);
  assert.match(metrics, /tocafarm_resume_steps_total\{outcome="saved"\} 4/);
  assert.match(metrics, /tocafarm_resume_steps_total\{outcome="lost"\} 2/);
});

test("another kind of device begins anew, and one of the same kind does not", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one"]);
  const lease = await agent.lease();
  agent.checkpoint(lease, 4);
  await reachesCheckpoint(coordinator, batch.id, 4);
  agent.close();
  const [device] = testHelloMessage("w2").devices;
  assert.ok(device);
  const devices = [{ ...device, kind: "cpu-other" }];
  const stranger = await newAgent(t, coordinator, "w2", { devices });
  const next = await stranger.lease();
  assert.deepEqual([next.attempt.attempt, next.resume], [2, undefined]);
});

test("a checkpoint and the hand-back behind it are decided in their order", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  await coordinator.submit(["one"]);
  const lease = await agent.lease();
  agent.checkpoint(lease, 5);
  agent.fail(lease.attempt, "INTERRUPTED");
  const next = await agent.lease();
  assert.equal(next.resume?.step, 5);
});

test("a checkpoint stored while the link was down counts when the agent is back", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one"]);
  const lease = await agent.lease();
  agent.close();
  const checkpoints = [checkpointOf(lease, 3)];
  const held = [lease.attempt];
  const back = await newAgent(t, coordinator, "w1", { held, checkpoints });
  await reachesCheckpoint(coordinator, batch.id, 3);
  back.fail(lease.attempt, "INTERRUPTED");
  assert.equal((await back.lease()).resume?.step, 3);
});

test("a checkpoint survives the coordinator", async (t) => {
  const data = temporaryFolder(t);
  const before = await CoordinatorProcess.start(t, data);
  const agent = await newAgent(t, before, "w1");
  const batch = await before.submit(["one"]);
  const lease = await agent.lease();
  agent.checkpoint(lease, 6);
  await reachesCheckpoint(before, batch.id, 6);
  agent.close();
  await before.kill();
  const after = await CoordinatorProcess.start(t, data);
  assert.equal(await stored(after, batch.id), 6);
  const back = await newAgent(t, after, "w1");
  assert.equal((await back.lease()).resume?.step, 6);
});

test("an attempt that no longer holds the clip stores no checkpoint", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one"]);
  const lease = await agent.lease();
  agent.checkpoint(lease, 2);
  agent.fail(lease.attempt, "INTERRUPTED");
  await agent.lease();
  agent.checkpoint(lease, 8);
  agent.progress([], 0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(await stored(coordinator, batch.id), 2);
});

const notItsOwn: readonly (readonly [
  string,
  (lease: Lease) => Partial<ReturnType<typeof checkpointOf>>,
])[] = [
  ["a key of another attempt", (lease) => ({ attempt: { ...ref(lease), attempt: 7 } })],
  ["another step than its key's", () => ({ step: 5 })],
  ["step 0", (lease) => checkpointOf(lease, 0)],
  ["no artifact", () => ({ artifact: undefined })],
  ["no attempt", () => ({ attempt: undefined })],
  ["a digest that is none", (lease) => changed(lease, { sha256: "AB" })],
  ["no byte", (lease) => changed(lease, { sizeBytes: 0n })],
  ["too many bytes", (lease) => changed(lease, { sizeBytes: 2n ** 40n })],
  ["a path out of the store", (lease) => changed(lease, { key: "checkpoints/../../etc/passwd" })],
];

function ref({ attempt }: Lease) {
  assert.ok(attempt);
  return attempt;
}

function changed(
  lease: Lease,
  change: Partial<{ key: string; sha256: string; sizeBytes: bigint }>,
) {
  const { artifact } = checkpointOf(lease, 4);
  assert.ok(artifact);
  return { artifact: { ...artifact, ...change } };
}

test("an agent whose checkpoint is not its attempt's own is cut off with the reason", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one"]);
  const lease = await agent.lease();
  for (const [what, change] of notItsOwn) {
    const held = [ref(lease)];
    const liar = new TestAgent(coordinator.grpc, "w1", { held });
    t.after(() => liar.close());
    await eventually(() => liar.welcomed || undefined);
    const value = { ...checkpointOf(lease, 4), ...change(lease) };
    liar.say({ $case: "checkpoint", value });
    const end = await eventually(() => liar.end);
    assert.equal(end.code, "INVALID_ARGUMENT", `${what}: ${end.message}`);
  }
  assert.equal(await stored(coordinator, batch.id), 0);
});
