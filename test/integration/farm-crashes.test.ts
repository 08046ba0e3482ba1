// kill -9 of an engine process or of a worker in mid-clip, or a worker that freezes: it costs a
// retry and not the clip, everybody can see it, and the clip has the bytes that it would have had.
import assert from "node:assert/strict";
import { before, type TestContext, test } from "node:test";
import type { FarmClient } from "../../cli/farm-client.js";
import type { Clip } from "../../proto/gen/tocafarm/v1/farm.js";
import {
  demoPrompts,
  digests,
  ended,
  hasArtifacts,
  manySteps,
  reachesStep,
  submit,
} from "../support/farm-batches.js";
import { clientOf, type FarmProcess, FarmSandbox, idleWorkers } from "../support/farm-processes.js";
import { undisturbedDigests } from "../support/farm-reference.js";
import { eventually, isAlive } from "../support/worker-process.js";

const steps = manySteps;
const prompts = demoPrompts.slice(0, 2);

let expected: readonly (readonly string[])[];
before(async () => {
  expected = await undisturbedDigests(prompts, { steps });
});

test("a killed engine costs its clip an attempt, and no bit", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  const worker = await sandbox.worker(coordinator, "w1");
  await idleWorkers(client, "w1");
  const attempts = async (outcome: string, reason: string) =>
    (await coordinator.metrics()).one("tocafarm_attempts_total", { outcome, reason });
  const handedBack = () => attempts("lost", "handed_back");
  assert.equal(await attempts("failed", "ENGINE_CRASH"), 0);

  const batch = await submit(client, prompts, { steps });
  await reachesStep(client, { batch, step: 3 });
  const engine = await worker.engine();
  process.kill(engine, "SIGKILL");
  const { clips } = await ended(client, batch);
  assert.deepEqual(
    clips.map(({ state, attempt }) => [state, attempt]),
    [
      ["CLIP_STATE_PUBLISHED", 2],
      // In its last steps the killed clip has the next one waiting behind it, which is handed back.
      ["CLIP_STATE_PUBLISHED", 1 + (await handedBack())],
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

  assert.deepEqual(
    clips.map((one) => digests(sandbox.artifactsFolder, one)),
    expected,
  );
});

interface Pair {
  readonly sandbox: FarmSandbox;
  readonly coordinator: FarmProcess;
  readonly client: FarmClient;
  readonly batch: string;
  /** The worker that renders the batch's one clip now. */
  readonly busy: FarmProcess;
  readonly otherId: string;
}

/** Two workers, one of which is in the middle of a clip. */
async function pairAtWork(t: TestContext): Promise<Pair> {
  const sandbox = FarmSandbox.of(t);
  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  const [first, second] = await Promise.all([
    sandbox.worker(coordinator, "w1"),
    sandbox.worker(coordinator, "w2"),
  ]);
  await idleWorkers(client, "w1", "w2");
  const batch = await submit(client, prompts.slice(0, 1), { steps });
  const clip = await reachesStep(client, { batch, step: 3 });
  const isFirst = clip.worker === "w1";
  const [busy, otherId] = isFirst ? [first, "w2"] : [second, "w1"];
  return { sandbox, coordinator, client, batch, busy, otherId };
}

/** The clip is attempt 2 on the other worker, with the bytes that attempt 1 would have had. */
async function assertRenderedByTheOther(pair: Pair): Promise<Clip> {
  const { sandbox, coordinator, client, batch, otherId } = pair;
  const { clips } = await ended(client, batch);
  const [clip] = clips;
  assert.ok(clip);
  assert.deepEqual([clip.state, clip.attempt, clip.worker], ["CLIP_STATE_PUBLISHED", 2, otherId]);
  const metrics = await coordinator.metrics();
  assert.equal(metrics.one("tocafarm_attempts_total", { outcome: "lost", reason: "silent" }), 1);
  assert.equal(metrics.sum("tocafarm_attempts_total", { outcome: "published" }), 1);
  assert.deepEqual(digests(sandbox.artifactsFolder, clip), expected[0]);
  return clip;
}

test("a killed worker's clip goes to another worker, with the same bytes", async (t) => {
  const pair = await pairAtWork(t);
  const engine = await pair.busy.engine();
  await pair.busy.kill();
  await assertRenderedByTheOther(pair);
  assert.ok(!(await isAlive(engine)), "the killed worker's engine process is gone too");
});

test("a worker that was frozen past its lease is too late, and its files go", async (t) => {
  const pair = await pairAtWork(t);
  const { sandbox, client, batch, busy } = pair;
  process.kill(busy.pid, "SIGSTOP"); // its engine renders on, and finishes
  const lost = async () => (await client.get(batch)).clips[0]?.attempt === 2;
  await eventually(lost, { limitMs: 10_000, what: "the clip is leased to the other worker" });
  process.kill(busy.pid, "SIGCONT");
  const clip = await assertRenderedByTheOther(pair);
  await idleWorkers(client, "w1", "w2");
  const removed = () => !hasArtifacts(sandbox.artifactsFolder, clip.id, 1);
  await eventually(removed, { limitMs: 5_000, what: "the files of attempt 1 are removed" });
  assert.deepEqual((await client.get(batch)).clips, [clip]);
});
