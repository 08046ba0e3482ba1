// The leader dies with 200 clips in flight: a standby leads, agents go on through it, and the log
// holds every clip once.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { FarmEvent } from "../../coordinator/core/events.js";
import { eventually } from "../support/coordinator-process.js";
import {
  FailoverPool,
  secondsOf,
  supersededBy,
  watchToEnd,
  workersOf,
} from "../support/failover-pool.js";

/** A standby leads within 5 s; the rest is this machine being slow. */
const takeoverMsMax = 10_000;

const clips = 500;
const prompts = Array.from({ length: clips }, (_, index) => `clip ${index}`);

test("kill -9 of the leader loses none of 200 clips and publishes none twice", async (t) => {
  const pool = await FailoverPool.start(t, {
    coordinators: 3,
    flags: ["--lease-seconds", "6"],
  });
  const first = await pool.leader();
  const others = pool.coordinators.filter((coordinator) => coordinator !== first);
  const [standby] = others;
  assert.ok(standby);
  const crew = pool.crew({
    agents: 20,
    devicesPerAgent: 10,
    renderMs: ({ clipIndex }) => 3_000 + (clipIndex % 20) * 200,
  });
  const submission = { idempotencyKey: "failover" };
  await eventually(async () => (await workersOf(standby)).length === 20 || undefined);
  const batch = await standby.submit(prompts, submission);
  const watched = watchToEnd(standby, batch.id);
  await eventually(() => crew.held === 200 || undefined);

  const killedMs = performance.now();
  crew.agents[0]?.stayAway(14_000); // beyond its leases: its clips are rendered twice
  await first.kill();
  const repeated = await eventually(() => standby.submit(prompts, submission).catch(ifAway));
  assert.equal(repeated.id, batch.id, "a repeated submission is the same batch");
  const next = await pool.leader(others, takeoverMsMax);
  const leadsMs = performance.now() - killedMs;
  const lease = await eventually(() => crew.firstLeases[1]);
  t.diagnostic(`the next leader answers ${secondsOf(leadsMs)} after the kill`);
  t.diagnostic(`its first lease comes ${secondsOf(lease.atMs - killedMs)} after the kill`);

  const ended = await eventually(async () => {
    const { batch: now } = await next.get(batch.id);
    return now?.endedAt === undefined ? undefined : now;
  }, 60_000);
  assert.equal(ended.state, "BATCH_STATE_SUCCEEDED");
  assert.equal(ended.clipsPublished, clips);
  assert.equal((await watched).clipsPublished, clips);
  holdToTheLog(await pool.events());
  const twice = crew.rendered.size - clips;
  const counted = await eventually(async () => {
    const count = await supersededBy(next);
    return count >= twice ? count : undefined;
  }, 20_000);
  t.diagnostic(`${twice} clips were rendered twice to the end, ${counted} are counted`);
  assert.ok(twice > 0);
  assert.equal(counted, twice);
});

/** Two reigns, and each clip published once. */
function holdToTheLog(events: readonly FarmEvent[]): void {
  const published = new Map<number, number>();
  for (const event of events) {
    if (event.type !== "ClipPublished") continue;
    published.set(event.clip, (published.get(event.clip) ?? 0) + 1);
  }
  assert.equal(published.size, clips);
  assert.ok([...published.values()].every((times) => times === 1));
  const terms = events.flatMap((event) => (event.type === "LeaderStarted" ? [event.term] : []));
  assert.deepEqual(terms, [1, 2]);
}

/** What a client does about UNAVAILABLE: it tries again. */
function ifAway(error: { readonly code: string }): undefined {
  assert.equal(error.code, "UNAVAILABLE");
}
