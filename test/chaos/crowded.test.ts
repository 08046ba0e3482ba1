// What happens when more than one thing goes wrong, or somebody is in the middle of asking for
// something: a leader dies under submissions, a client dies while it submits, another process dies
// while a standby takes over, a worker dies far into a long clip.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "../support/chaos-audit.js";
import { Chance, inLongForm } from "../support/chaos-chance.js";
import { ChaosFarm } from "../support/chaos-farm.js";
import { readEvents } from "../support/chaos-history.js";
import { signal } from "../support/chaos-kept.js";
import { brief, enginesOf, long, resumable, workerOf } from "../support/chaos-scenes.js";
import { demoPrompts } from "../support/farm-batches.js";
import { demoModel } from "../support/farm-processes.js";
import { eventually } from "../support/worker-process.js";

/** --checkpoint-seconds 1, and what a busy machine takes to make and bring one. */
const lostMsMax = 1_000 + 3_000;

test("several troubles at once cost no more than each alone", async (t) => {
  const chance = Chance.of(t);
  const farm = await ChaosFarm.start(t, { name: "crowded" });
  await farm.learn(brief, long, resumable);

  await t.test("submissions that were accepted while the leader dies are all there", async () => {
    const keys = Array.from({ length: 8 }, () => randomUUID());
    const { pid } = await farm.leader();
    const sending = keys.map((key) => farm.submit(brief, key));
    await sleep(chance.between(0, 20));
    await farm.kill(pid);
    const accepted = await Promise.all(sending);
    const again = await Promise.all(keys.map((key) => farm.submit(brief, key)));
    assert.deepEqual(again, accepted, "a repetition is no second batch");
    await audit(farm, accepted);
  });

  await t.test(
    "submissions that were accepted while nats-server dies are all there",
    inLongForm,
    async () => {
      const sending = Array.from({ length: 8 }, () => farm.submit(brief));
      await sleep(chance.between(0, 20));
      await farm.kill(farm.nats.pid);
      await audit(farm, await Promise.all(sending));
    },
  );

  await t.test("a client that was killed while it submitted may do so again", async () => {
    const key = randomUUID();
    const prompts = demoPrompts.slice(0, 2).flatMap((prompt) => ["--prompt", prompt]);
    const spec = ["--image-size", "64x64", "--steps", "6", "--policy", "toca", "--seed", "7"];
    const to = ["--coordinator", farm.addresses[0] ?? "", "--key", key];
    const submit = ["submit", "--model", demoModel, ...prompts, ...spec, ...to];
    for (let tries = 0; tries < 3; tries++) {
      const { child, ended } = farm.sandbox.start(...submit);
      await sleep(chance.between(200, 700));
      await farm.kill(child.pid);
      await ended;
    }
    const { status, stdout, stderr } = await farm.sandbox.run(...submit);
    assert.equal(status, 0, stderr);
    const { expected } = await farm.submit(brief);
    await audit(farm, [{ batch: stdout.trim(), expected }]);
    const events = await readEvents(farm.natsUrl);
    const accepted = events.filter((event) => event.type === "BatchAccepted");
    assert.equal(accepted.filter(({ idempotencyKey }) => idempotencyKey === key).length, 1);
  });

  await t.test(
    "a second death while a standby takes over costs nothing more",
    inLongForm,
    async () => {
      const submitted = await farm.submit(long);
      await farm.kill((await farm.leader()).pid);
      await sleep(chance.between(0, 3_000));
      await farm.kill(chance.pick([farm.nats, ...farm.coordinators, ...farm.workers]).pid);
      await audit(farm, [submitted]);
    },
  );

  await t.test("a worker that is killed loses at most one checkpoint period", async () => {
    const submitted = await farm.submit(resumable);
    let worker = "";
    const kept = async () => {
      const { clips } = await farm.client.get(submitted.batch);
      worker = clips.find(({ checkpointStep }) => checkpointStep > 0)?.worker ?? "";
      return worker !== "";
    };
    await eventually(kept, { limitMs: 30_000, what: "a checkpoint is stored" });
    const doomed = workerOf(farm, worker);
    // However fast the machine, its clip has not ended when the worker dies.
    for (const engine of await enginesOf(doomed)) signal(engine, "SIGSTOP");
    await sleep(chance.between(0, 500));
    await farm.kill(doomed.pid);
    const killedAt = Date.now();
    const history = await audit(farm, [submitted]);
    const clips = history.batches.get(submitted.batch) ?? [];
    const resumed = clips.filter(({ resumes }) => resumes > 0);
    assert.ok(resumed.length > 0, "the killed worker's clip went on from its checkpoint");
    const events = await readEvents(farm.natsUrl);
    const stored = events.filter(
      (event) =>
        event.type === "CheckpointStored" &&
        event.batch === submitted.batch &&
        event.at <= killedAt,
    );
    assert.ok(killedAt - (stored.at(-1)?.at ?? 0) <= lostMsMax);
  });
});
