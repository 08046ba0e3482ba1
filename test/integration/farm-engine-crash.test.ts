// kill -9 of an engine process in mid-clip: it costs a retry and not the clip, everybody can see
// it, and the clip has the bytes that it would have had.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  demoPrompts,
  digests,
  ended,
  hasArtifacts,
  manySteps,
  reachesStep,
  rendered,
  submit,
} from "../support/farm-batches.js";
import { clientOf, FarmSandbox, idleWorkers } from "../support/farm-processes.js";
import { isAlive } from "../support/worker-process.js";

const steps = manySteps;

test("a killed engine costs its clip an attempt, and no bit", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  const worker = await sandbox.worker(coordinator, "w1");
  await idleWorkers(client, "w1");
  const attempts = async (outcome: string, reason: string) =>
    (await coordinator.metrics()).one("tocafarm_attempts_total", { outcome, reason });
  assert.equal(await attempts("failed", "ENGINE_CRASH"), 0);

  const prompts = demoPrompts.slice(0, 2);
  const batch = await submit(client, prompts, { steps });
  await reachesStep(client, { batch, step: 3 });
  const engine = await worker.engine();
  process.kill(engine, "SIGKILL");
  const { clips } = await ended(client, batch);
  assert.deepEqual(
    clips.map(({ state, attempt }) => [state, attempt]),
    [
      ["CLIP_STATE_PUBLISHED", 2],
      ["CLIP_STATE_PUBLISHED", 1],
    ],
  );
  assert.notEqual(await worker.engine(), engine);
  const [killed] = clips;
  assert.ok(killed !== undefined && !hasArtifacts(sandbox.artifactsFolder, killed.id, 1));

  const shown = await sandbox.run("show", batch, "--json");
  assert.equal(shown.status, 0, shown.stderr);
  const [clip] = JSON.parse(shown.stdout).clips;
  assert.equal(clip.attempt, 2);
  assert.equal(clip.failure.code, "ENGINE_CRASH");
  assert.match(clip.failure.message, /engine process on cpu died: killed by SIGKILL/);
  assert.equal(await attempts("failed", "ENGINE_CRASH"), 1);
  assert.equal(await attempts("published", "none"), 2);
  const restarts = { device: "cpu", reason: "crash" };
  assert.equal((await worker.metrics()).one("tocafarm_engine_restarts_total", restarts), 1);

  const undisturbed = await rendered(client, prompts, { steps });
  const bytes = (of: typeof clips) => of.map((one) => digests(sandbox.artifactsFolder, one));
  assert.deepEqual(bytes(clips), bytes(undisturbed));
});

test("a killed worker's clip goes to another worker, with the same bytes", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  const ids = ["w1", "w2"];
  const started = ids.map((id) => sandbox.worker(coordinator, id));
  const workers = new Map((await Promise.all(started)).map((worker, i) => [ids[i], worker]));
  await idleWorkers(client, ...ids);
  const batch = await submit(client, demoPrompts.slice(0, 1), { steps });
  const running = await reachesStep(client, { batch, step: 3 });
  const unlucky = workers.get(running.worker);
  assert.ok(unlucky);
  const engine = await unlucky.engine();
  await unlucky.kill();
  const { clips } = await ended(client, batch);
  const other = ids.find((id) => id !== running.worker);
  assert.deepEqual(
    clips.map(({ state, attempt, worker }) => [state, attempt, worker]),
    [["CLIP_STATE_PUBLISHED", 2, other]],
  );
  assert.ok(!(await isAlive(engine)), "the killed worker's engine process is gone too");
  const lost = { outcome: "lost", reason: "silent" };
  assert.equal((await coordinator.metrics()).one("tocafarm_attempts_total", lost), 1);
  const undisturbed = await rendered(client, demoPrompts.slice(0, 1), { steps });
  const bytes = (of: typeof clips) => of.map((one) => digests(sandbox.artifactsFolder, one));
  assert.deepEqual(bytes(clips), bytes(undisturbed));
});
