// What a standby does for those who ask it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { callUnary, readStream } from "../../common/rpc.js";
import type { WatchBatchResponse } from "../../proto/gen/tocafarm/v1/farm.js";
import { newAgent, TestAgent } from "../support/coordinator-agent.js";
import { type CoordinatorProcess, eventually } from "../support/coordinator-process.js";
import { FailoverPool, workersOf } from "../support/failover-pool.js";

async function leaderAndStandby(t: Parameters<typeof newAgent>[0]) {
  const pool = await FailoverPool.start(t, { coordinators: 2 });
  const leader = await pool.leader();
  const [standby] = pool.coordinators.filter((coordinator) => coordinator !== leader);
  assert.ok(standby);
  return { leader, standby };
}

test("a standby hands commands on, and what they did can be read from it at once", async (t) => {
  const { leader, standby } = await leaderAndStandby(t);
  await newAgent(t, leader, "w1");
  assert.deepEqual(await workersOf(standby), ["w1"]);
  const { farm } = standby;
  for (let i = 0; i < 20; i++) {
    const { id } = await standby.submit(["one"]);
    assert.equal((await standby.get(id)).batch?.state, "BATCH_STATE_QUEUED");
    const cancelled = await callUnary(farm.cancelBatch.bind(farm), { batchId: id });
    assert.equal(cancelled.batch?.state, "BATCH_STATE_CANCELLED");
    const read = await standby.get(id);
    assert.equal(read.batch?.state, "BATCH_STATE_CANCELLED");
    assert.ok(read.sequence > 0n);
  }
  const { leader: named, term } = await callUnary(farm.getFarm.bind(farm), {});
  assert.deepEqual([named, term], [leader.grpc, 1n]);
});

test("a batch that the leader has just taken is known to who asks a standby", async (t) => {
  const { leader, standby } = await leaderAndStandby(t);
  await newAgent(t, leader, "w1");
  for (let i = 0; i < 20; i++) {
    const { id } = await leader.submit(["one"]);
    const watching = watchOnce(standby, id);
    assert.equal((await standby.get(id)).batch?.id, id);
    assert.equal(await watching, id);
  }
  await assert.rejects(standby.get("b0"), { code: "NOT_FOUND" });
  await assert.rejects(watchOnce(standby, "b0"), { code: "NOT_FOUND" });
});

/** The batch that the first message of a watch tells of. */
async function watchOnce({ farm }: CoordinatorProcess, batchId: string): Promise<string> {
  const call = farm.watchBatch({ batchId, afterSequence: 0n });
  for await (const { batch } of readStream<WatchBatchResponse>(call)) return batch?.id ?? "";
  return "";
}

test("a standby passes the leader's refusals on as they are", async (t) => {
  const { leader, standby } = await leaderAndStandby(t);
  await newAgent(t, leader, "w1");
  const { farm } = standby;
  await assert.rejects(callUnary(farm.cancelBatch.bind(farm), { batchId: "b0" }), {
    code: "NOT_FOUND",
    message: /there is no batch .*b0/,
  });
  await standby.submit(["one"], { idempotencyKey: "k" });
  await assert.rejects(standby.submit(["two"], { idempotencyKey: "k" }), {
    code: "ALREADY_EXISTS",
  });
});

test("16 MiB of prompts go through a standby, more than a NATS message may have", async (t) => {
  const { leader, standby } = await leaderAndStandby(t);
  const agent = await newAgent(t, leader, "w1");
  const prompts = Array.from({ length: 1_000 }, (_, i) => `${i} ${"x".repeat(16_000)}`);
  const batch = await standby.submit(prompts);
  assert.equal(batch.clipsTotal, 1_000);
  assert.equal((await agent.lease()).prompt, prompts[0]);
});

test("a call that was handed on is not handed on again by who does not lead", async (t) => {
  const { standby } = await leaderAndStandby(t);
  const metadata = new Metadata();
  metadata.set("tocafarm-forwarded", "1");
  const error = await new Promise<ServiceError | null>((resolve) => {
    standby.farm.listWorkers({}, metadata, resolve);
  });
  assert.match(error?.details ?? "", /does not lead/);
  assert.equal(error?.metadata.get("tocafarm-not-leader")[0], "1");
});

test("an agent that dials a standby is told the leader", async (t) => {
  const { leader, standby } = await leaderAndStandby(t);
  const agent = new TestAgent(standby.grpc, "w1");
  t.after(() => agent.close());
  assert.equal(await eventually(() => agent.redirect), leader.grpc);
  assert.equal(agent.welcomed, false);
});

test("pages and metrics say who leads, and the pool's numbers are told once", async (t) => {
  const { leader, standby } = await leaderAndStandby(t);
  await newAgent(t, leader, "w1");
  await leader.submit(["one", "two"]);
  const told = async (coordinator: CoordinatorProcess) => {
    const text = await coordinator.metrics();
    const value = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]);
    const queued = value('tocafarm_queue_segments\\{state="queued"\\}');
    return [value("tocafarm_coordinator_leader"), value("tocafarm_coordinator_term"), queued];
  };
  assert.deepEqual(await told(leader), [1, 1, 2]);
  assert.deepEqual(await told(standby), [0, 1, 0]);
  const page = await (await fetch(`http://${standby.http}/`)).text();
  assert.match(page, /stands by at \d+ of the log, term 1; the leader is /);
  assert.ok(page.includes(leader.grpc));
});
