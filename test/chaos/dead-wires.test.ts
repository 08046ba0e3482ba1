// Connections that pass nothing on and do not break: between a worker and the coordinator, and
// between coordinators and NATS. What was said comes late, and sometimes twice.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "../support/chaos-audit.js";
import { inLongForm } from "../support/chaos-chance.js";
import { ChaosFarm } from "../support/chaos-farm.js";
import { attemptsOf, long, running, workerOf } from "../support/chaos-scenes.js";
import { eventually } from "../support/worker-process.js";

/** Longer than a leader's claim. */
const deadMs = 5_000;

test("a worker behind a dead wire is too late, and told so twice", async (t) => {
  const farm = await ChaosFarm.start(t, { name: "dead-worker-wire", coordinators: 1, wired: 1 });
  await farm.learn(long);
  const superseded = async () => {
    const metrics = await (await farm.leader()).process?.main.metrics();
    const late = { outcome: "superseded", reason: "completed" };
    return metrics?.one("tocafarm_attempts_total", late) ?? 0;
  };
  assert.equal(await superseded(), 0);
  const submitted = await farm.submit(long);
  const clips = [0, 1].map((index) => running(farm, submitted, index));
  const lost = (await Promise.all(clips)).find(({ worker }) => worker === "w1");
  assert.ok(lost, "the wired worker has a clip");
  for (const wire of farm.workerWires) wire.freeze();
  const done = () => attemptsOf(farm, workerOf(farm, "w1")).length === 0;
  await eventually(done, { limitMs: 60_000, what: "the clip behind the wire is finished" });
  const elsewhere = async () => {
    const clip = await farm.client.clip(submitted.batch, lost.index);
    return clip.state === "CLIP_STATE_PUBLISHED";
  };
  await eventually(elsewhere, { limitMs: 60_000, what: "the clip is published by the other" });
  for (const wire of farm.workerWires) wire.thaw();
  const history = await audit(farm, [submitted]);
  const clip = history.batches.get(submitted.batch)?.[lost.index];
  assert.deepEqual([clip?.attempt, clip?.losses], [2, 1]);
  assert.equal((await farm.client.clip(submitted.batch, lost.index)).worker, "w2");
  assert.ok((await superseded()) > 0, "the late reports were heard and counted");
});

test("a leader that cannot reach the log is followed, and stands by when it can", async (t) => {
  const farm = await ChaosFarm.start(t, { name: "dead-log-wires" });
  await farm.learn(long);

  await t.test("one wire", async () => {
    const submitted = await farm.submit(long);
    await running(farm, submitted, 0);
    const leader = await farm.leader();
    const wire = farm.natsWires[farm.coordinators.indexOf(leader)];
    wire?.freeze();
    const followed = async () => (await farm.leader().catch(() => leader)) !== leader;
    await eventually(followed, { limitMs: 30_000, what: "the standby leads" });
    wire?.thaw();
    await audit(farm, [submitted]);
    assert.notEqual(await farm.leader(), leader);
  });

  await t.test("all wires", inLongForm, async () => {
    const submitted = await farm.submit(long);
    await running(farm, submitted, 0);
    for (const wire of farm.natsWires) wire.freeze();
    await sleep(deadMs);
    for (const wire of farm.natsWires) wire.thaw();
    await audit(farm, [submitted]);
  });
});
