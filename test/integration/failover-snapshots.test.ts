// A log that is cut behind its snapshots: coordinators that come later, or lead later, know all
// that was in it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { callUnary } from "../../common/rpc.js";
import { TestAgent } from "../support/coordinator-agent.js";
import { type CoordinatorProcess, eventually } from "../support/coordinator-process.js";
import { FailoverPool } from "../support/failover-pool.js";

/** More turns than a leader keeps behind its newest snapshot, and some. */
const submissions = 300;

test("a coordinator that begins with a snapshot knows everything, and leads with it", async (t) => {
  const flags = ["--snapshot-turns", "100"];
  const pool = await FailoverPool.start(t, { coordinators: 1, flags });
  const first = await pool.leader();
  const agent = new TestAgent(first.grpc, "w1");
  t.after(() => agent.close());
  await eventually(() => agent.welcomed || undefined);
  const ids: string[] = [];
  for (let i = 0; i < submissions; i++) {
    ids.push((await first.submit(["one"], { idempotencyKey: `key ${i}` })).id);
  }
  await eventually(async () => ((await pool.turns()) < submissions ? true : undefined), 20_000);
  await assert.rejects(pool.events(), { code: "IO" });

  const second = await pool.add();
  assert.deepEqual(await listed(second), await listed(first));
  await first.kill();
  await pool.leader([second]);
  const again = await second.submit(["one"], { idempotencyKey: "key 0" });
  assert.equal(again.id, ids[0]);
  assert.equal((await listed(second)).length, submissions);
});

async function listed({ farm }: CoordinatorProcess): Promise<readonly unknown[]> {
  const found: unknown[] = [];
  let pageToken = "";
  do {
    const request = { pageSize: 1_000, pageToken };
    const page = await callUnary(farm.listBatches.bind(farm), request);
    found.push(...page.batches);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return found;
}
