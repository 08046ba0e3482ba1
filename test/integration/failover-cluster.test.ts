// Coordinators over a NATS cluster of three: the leader dies, then a NATS server, and every clip is
// published once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../support/coordinator-process.js";
import { FailoverPool, secondsOf, workersOf } from "../support/failover-pool.js";
import { testCluster } from "../support/nats-cluster.js";

const prompts = Array.from({ length: 60 }, (_, index) => `clip ${index}`);

test("a pool over three NATS servers outlives its leader and one of them", async (t) => {
  const cluster = await testCluster(t);
  const pool = await FailoverPool.start(t, {
    coordinators: 2,
    natsUrl: cluster.urls,
    flags: ["--nats-replicas", "3", "--lease-seconds", "20"],
  });
  const first = await pool.leader();
  const [standby] = pool.coordinators.filter((coordinator) => coordinator !== first);
  assert.ok(standby);
  const crew = pool.crew({ agents: 4, devicesPerAgent: 5, renderMs: () => 2_000 });
  await eventually(async () => (await workersOf(standby)).length === 4 || undefined);
  const batch = await standby.submit(prompts);
  await eventually(() => crew.held === 20 || undefined);

  const killedMs = performance.now();
  await first.kill();
  await pool.leader([standby]);
  t.diagnostic(`the standby leads ${secondsOf(performance.now() - killedMs)} after the kill`);
  await eventually(() => crew.firstLeases[1], 20_000);
  await cluster.servers[0]?.kill();
  const ended = await eventually(async () => {
    const answer = await standby.get(batch.id).catch(() => null); // while the log is read anew
    return answer?.batch?.endedAt === undefined ? undefined : answer.batch;
  }, 60_000);
  assert.equal(ended.state, "BATCH_STATE_SUCCEEDED");
  const whileElecting = () => undefined;
  const events = await eventually(() => pool.events().catch(whileElecting), 30_000);
  const published = events.flatMap((event) => (event.type === "ClipPublished" ? [event.clip] : []));
  assert.deepEqual(
    published.sort((a, b) => a - b),
    prompts.map((_, index) => index),
  );
});
