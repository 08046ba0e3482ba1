// What operators do to batches, clips and workers, through a real coordinator process and real
// gRPC, with agents that the test plays.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClipState } from "../../proto/gen/tocafarm/v1/farm.js";
import { farmWithAgent, newAgent } from "../support/coordinator-agent.js";
import { type CoordinatorProcess, eventually } from "../support/coordinator-process.js";

async function states(coordinator: CoordinatorProcess, batch: string): Promise<string> {
  const { clips } = await coordinator.get(batch);
  return clips.map(({ state }) => word(state)).join(" ");
}

function word(state: ClipState): string {
  return state.replace("CLIP_STATE_", "").toLowerCase();
}

function reaches(coordinator: CoordinatorProcess, batch: string, wanted: string): Promise<unknown> {
  return eventually(async () => (await states(coordinator, batch)) === wanted || undefined);
}

test("a paused batch begins nothing, and a cut one gives its device back", async (t) => {
  const { coordinator, agent, client } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one", "two"]);
  const lease = await agent.lease();
  agent.progress([lease.attempt], 2);
  await reaches(coordinator, batch.id, "running queued");
  const paused = await client.pause(batch.id, false);
  assert.equal(paused.state, "BATCH_STATE_PAUSED");
  assert.equal(paused.paused, true);
  assert.deepEqual(agent.cuts, [], "what runs goes on");
  const cut = await client.pause(batch.id, true);
  assert.equal(cut.paused, true);
  const told = await eventually(() => agent.cuts[0]);
  assert.deepEqual(told, { attempt: lease.attempt, reason: "paused" });
  agent.checkpoint(lease, 3);
  agent.fail(lease.attempt, "INTERRUPTED");
  await reaches(coordinator, batch.id, "queued queued");
  agent.progress([], 0, ["cpu"]);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(agent.leases.length, 1, "nothing begins");
  const resumed = await client.resume(batch.id);
  assert.equal(resumed.state, "BATCH_STATE_ACTIVE");
  const again = await eventually(() => agent.leases[1]);
  assert.equal(again.clipIndex, 0, "what was begun goes on first");
  assert.equal(again.resume?.step, 3);
  assert.equal(again.resume?.artifact?.key, `checkpoints/${again.clipId}/1-3.safetensors`);
  const metrics = await coordinator.metrics();
  assert.match(metrics, /tocafarm_cuts_total\{reason="paused"\} 1/);
  assert.match(metrics, /tocafarm_attempts_total\{outcome="lost",reason="cut"\} 1/);
  assert.match(metrics, /tocafarm_checkpoints_total 1/);
  assert.match(metrics, /tocafarm_attempts_resumed_total 1/);
  assert.match(metrics, /tocafarm_resume_steps_total\{outcome="saved"\} 3/);
  assert.match(metrics, /tocafarm_resume_steps_total\{outcome="lost"\} 0/);
});

test("priority, place and promotion decide what is leased next", async (t) => {
  const { coordinator, agent, client } = await farmWithAgent(t);
  const first = await coordinator.submit(["a0", "a1", "a2"]);
  const second = await coordinator.submit(["b0", "b1"]);
  const third = await coordinator.submit(["c0"]);
  assert.equal((await client.setPriority(third.id, 0)).priority, 0);
  await client.move(second.id, "QUEUE_PLACE_FIRST");
  const promoted = await client.changeClips("promote", first.id, [{ first: 1, last: 2 }]);
  assert.equal(promoted.clipsChanged, 2);
  const next = async (): Promise<string> => {
    const lease = await agent.lease();
    agent.complete(lease);
    return lease.prompt;
  };
  const order = [await next(), await next()];
  await client.move(second.id, "QUEUE_PLACE_LAST");
  order.push(await next(), await next(), await next(), await next());
  assert.deepEqual(order, ["c0", "b0", "a1", "a2", "a0", "b1"]);
});

test("failed clips are rendered again when asked, and skipped ones end", async (t) => {
  const { coordinator, agent, client } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one", "two", "three"]);
  const lease = await agent.lease();
  agent.fail(lease.attempt, "INVALID_ARGUMENT");
  await reaches(coordinator, batch.id, "failed queued queued");
  const skipped = await client.changeClips("skip", batch.id, [{ first: 1, last: 2 }]);
  assert.equal(skipped.clipsChanged, 2);
  assert.equal(skipped.batch.clipsSkipped, 2);
  assert.equal(skipped.batch.state, "BATCH_STATE_FAILED", "nothing is left to do");
  const retried = await client.changeClips("retry", batch.id, []);
  assert.equal(retried.clipsChanged, 1, "without a list, the failed ones");
  assert.equal(retried.batch.state, "BATCH_STATE_ACTIVE");
  agent.complete(await agent.lease());
  await reaches(coordinator, batch.id, "published skipped skipped");
  const named = await client.changeClips("retry", batch.id, [{ first: 2, last: 2 }]);
  assert.equal(named.clipsChanged, 1, "with one, also the skipped");
  agent.complete(await agent.lease());
  await reaches(coordinator, batch.id, "published skipped published");
  assert.equal((await coordinator.get(batch.id)).batch?.state, "BATCH_STATE_SUCCEEDED");
});

test("a skipped clip's engine is stopped, and its video would come too late", async (t) => {
  const { coordinator, agent, client } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one", "two"]);
  const lease = await agent.lease();
  await client.changeClips("skip", batch.id, [{ first: 0, last: 0 }]);
  const told = await eventually(() => agent.cancels[0]);
  assert.deepEqual(told, { attempt: lease.attempt, reason: "skipped" });
  agent.complete(lease);
  await eventually(async () =>
    /outcome="superseded",reason="completed"\} 1/.test(await coordinator.metrics())
      ? true
      : undefined,
  );
  assert.equal(await states(coordinator, batch.id), "skipped queued");
  assert.match(
    await coordinator.metrics(),
    /tocafarm_attempts_total\{outcome="cancelled",reason="skipped"\} 1/,
  );
});

test("a drained worker hands back what it has and gets no more until it may", async (t) => {
  const { coordinator, agent, client } = await farmWithAgent(t);
  const other = await newAgent(t, coordinator, "w2");
  const batch = await coordinator.submit(["one", "two"]);
  const lease = await agent.lease();
  agent.progress([lease.attempt], 1);
  await reaches(coordinator, batch.id, "running queued");
  const drained = await client.drain("w1", false);
  assert.equal(drained.draining, true);
  const told = await eventually(() => agent.cuts[0]);
  assert.equal(told.reason, "drained");
  agent.checkpoint(lease, 2);
  agent.fail(lease.attempt, "INTERRUPTED");
  agent.progress([], 0, ["cpu"]);
  await reaches(coordinator, batch.id, "queued queued");
  const moved = await other.lease();
  assert.deepEqual([moved.clipIndex, moved.resume?.step], [0, 2], "the clip goes on elsewhere");
  assert.equal(agent.leases.length, 1);
  assert.match(await coordinator.metrics(), /tocafarm_devices\{state="draining"\} 1/);
  assert.equal((await client.drain("w1", true)).draining, false);
  assert.equal((await eventually(() => agent.leases[1])).clipIndex, 1, "it still wants work");
  await assert.rejects(client.drain("nobody", false), { code: "NOT_FOUND", message: /nobody/ });
});

test("a worker that says it drains gets nothing more", async (t) => {
  const { coordinator, agent, client } = await farmWithAgent(t);
  agent.draining = true;
  agent.progress([], 0, ["cpu"]);
  await eventually(async () => (await client.workers())[0]?.draining || undefined);
  await coordinator.submit(["one"]);
  agent.progress([], 0, ["cpu"]);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(agent.leases.length, 0);
  const late = await newAgent(t, coordinator, "w2", { draining: true });
  late.draining = true;
  late.progress([], 0, ["cpu"]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(late.leases.length, 0, "also when it says so in its Hello");
});
