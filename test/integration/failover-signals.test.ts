// Leaders that are told to stop, and leaders that stand still and do not know it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { callUnary } from "../../common/rpc.js";
import { TestAgent } from "../support/coordinator-agent.js";
import { eventually } from "../support/coordinator-process.js";
import { FailoverPool, roleOf, secondsOf, workersOf } from "../support/failover-pool.js";

test("SIGTERM of the leader hands over at once, and what was accepted goes on", async (t) => {
  const pool = await FailoverPool.start(t, { coordinators: 2 });
  const first = await pool.leader();
  const [standby] = pool.coordinators.filter((coordinator) => coordinator !== first);
  assert.ok(standby);
  const agent = new TestAgent(first.grpc, "w1");
  t.after(() => agent.close());
  await eventually(() => agent.welcomed || undefined);
  const batch = await first.submit(["one"]);
  const lease = await agent.lease();

  const stoppedMs = performance.now();
  const exit = first.stop();
  await pool.leader([standby]);
  t.diagnostic(`the standby leads ${secondsOf(performance.now() - stoppedMs)} after SIGTERM`);
  assert.equal(await exit, 0);
  assert.equal((await eventually(() => agent.end)).code, "UNAVAILABLE");

  const back = new TestAgent(standby.grpc, "w1", { held: [lease.attempt] });
  t.after(() => back.close());
  await eventually(() => back.welcomed || undefined);
  back.complete(lease);
  const ended = await eventually(async () => {
    const { batch: now } = await standby.get(batch.id);
    return now?.endedAt === undefined ? undefined : now;
  });
  assert.equal(ended.clipsPublished, 1);
});

test("a leader that stood still answers nothing from its past, and stands by", async (t) => {
  const pool = await FailoverPool.start(t, { coordinators: 2 });
  const first = await pool.leader();
  const [second] = pool.coordinators.filter((coordinator) => coordinator !== first);
  assert.ok(second);
  const early = new TestAgent(first.grpc, "early");
  t.after(() => early.close());
  await eventually(() => early.welcomed || undefined);
  const batch = await first.submit(["one", "two"]);

  const stoppedMs = performance.now();
  first.child.kill("SIGSTOP");
  // These lie in its sockets, to be read in its first moment awake.
  const asked = workersOf(first).catch(() => null);
  const late = new TestAgent(first.grpc, "late");
  t.after(() => late.close());
  await pool.leader([second]);
  t.diagnostic(`the standby leads ${secondsOf(performance.now() - stoppedMs)} after SIGSTOP`);
  const agent = new TestAgent(second.grpc, "other");
  t.after(() => agent.close());
  await eventually(() => agent.welcomed || undefined);
  const cancel = second.farm.cancelBatch.bind(second.farm);
  await callUnary(cancel, { batchId: batch.id });
  await new Promise((resolve) => setTimeout(resolve, 10_000 - (performance.now() - stoppedMs)));
  first.child.kill("SIGCONT");

  const workers = await asked;
  assert.ok(workers === null || workers.includes("other"), `it remembered ${workers}`);
  await eventually(() => early.end && (late.end || late.redirect !== undefined || undefined));
  assert.equal(late.welcomed, false, "an agent that dialled it was not taken for its own");
  await eventually(async () => ((await roleOf(first)) === "standby" ? true : undefined));
  await eventually(async () => {
    const { batch: now } = await first.get(batch.id);
    return now?.state === "BATCH_STATE_CANCELLED" || undefined;
  });
  assert.equal(await roleOf(second), "leader");
  const again = await first.submit(["three"]);
  assert.equal((await first.get(again.id)).batch?.id, again.id, "what it handed on can be read");
});
