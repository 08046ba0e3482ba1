// kill -9 of the coordinator, or of its nats-server, in mid-batch: what was accepted is finished
// after it was started again on the same folder and port. Workers and watchers come back by
// themselves, and no clip is published twice.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { before, type TestContext, test } from "node:test";
import { errorCodes } from "../../common/errors.js";
import type { Clip } from "../../proto/gen/tocafarm/v1/farm.js";
import {
  demoPrompts,
  digests,
  ended,
  manySteps,
  reachesStep,
  submit,
} from "../support/farm-batches.js";
import { loggedEvents } from "../support/farm-log.js";
import { clientOf, type FarmProcess, FarmSandbox, idleWorkers } from "../support/farm-processes.js";
import { undisturbedDigests } from "../support/farm-reference.js";
import { eventually } from "../support/worker-process.js";

const steps = manySteps;
const interrupted = demoPrompts.slice(0, 2);

let expected: readonly (readonly string[])[];
before(async () => {
  expected = await undisturbedDigests(interrupted, { steps });
});

function bytesOf(clips: readonly Clip[], { artifactsFolder }: FarmSandbox) {
  return clips.map((clip) => digests(artifactsFolder, clip));
}

/** Clips that were published, in the order of the log. What was lost was taken back, no more. */
async function publications(t: TestContext, sandbox: FarmSandbox): Promise<readonly string[]> {
  const events = await loggedEvents(t, sandbox.dataFolder);
  const published = events.filter((event) => event.type === "ClipPublished");
  const lost = events.filter((event) => event.type === "AttemptLost");
  for (const { batch, clip, attempt } of published) {
    const earlier = lost.filter((other) => other.batch === batch && other.clip === clip);
    assert.ok(earlier.every(({ reason }) => reason === "revoked"));
    assert.equal(attempt, 1 + earlier.length);
  }
  return published.map(({ batch, clip }) => `${batch}/${clip}`);
}

function enginesOf(workers: readonly FarmProcess[]): Promise<readonly number[]> {
  return Promise.all(workers.map((worker) => worker.engine()));
}

/** Attempts that a worker has not yet reported. */
function attemptsOf(sandbox: FarmSandbox, worker: string): readonly string[] {
  return readdirSync(sandbox.path(worker, "attempts"));
}

test("kill -9 of the coordinator in mid-batch loses and repeats nothing", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const first = await sandbox.coordinator();
  const client = clientOf(t, first);
  const workers = [await sandbox.worker(first, "w1"), await sandbox.worker(first, "w2")];
  await idleWorkers(client, "w1", "w2");
  const engines = await enginesOf(workers);
  const accepted = await submit(client, demoPrompts, { steps });
  const queued = await submit(client, demoPrompts.slice(0, 1), { steps });
  const outcome = Promise.all([ended(client, accepted), ended(client, queued)]);
  await reachesStep(client, { batch: accepted, index: 0, step: 3 });
  await reachesStep(client, { batch: accepted, index: 1, step: 3 });
  await first.kill();
  // What was begun is finished meanwhile, and reported when somebody listens again.
  const finished = () => [...attemptsOf(sandbox, "w1"), ...attemptsOf(sandbox, "w2")].length === 0;
  await eventually(finished, { limitMs: 30_000, what: "the running clips are finished" });
  const second = await sandbox.coordinator("--listen", first.grpc);

  const [{ batch, clips }, other] = await outcome;
  assert.equal(batch.state, "BATCH_STATE_SUCCEEDED");
  assert.equal(other.batch.state, "BATCH_STATE_SUCCEEDED");
  const running = clips.slice(0, 2).map(({ attempt }) => attempt);
  assert.deepEqual(running, [1, 1], "the workers went on with their clips");
  assert.deepEqual(await enginesOf(workers), engines, "no engine was started again");
  assert.deepEqual(bytesOf(clips.slice(0, 2), sandbox), expected);
  assert.equal(await second.stop(), 0);
  const published = await publications(t, sandbox);
  assert.equal(new Set(published).size, published.length, "nothing is published twice");
  assert.equal(published.length, 4 + 1);
});

test("kill -9 of nats-server stops the coordinator, and a new start loses nothing", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const first = await sandbox.coordinator();
  const client = clientOf(t, first);
  await sandbox.worker(first, "w1");
  await idleWorkers(client, "w1");
  const accepted = await submit(client, interrupted, { steps });
  await reachesStep(client, { batch: accepted, step: 3 });
  const [server, ...more] = await first.children("nats-server");
  assert.ok(server !== undefined && more.length === 0);
  const outcome = ended(client, accepted);
  process.kill(server, "SIGKILL");
  assert.equal(await first.ended, errorCodes.UNAVAILABLE.exit);

  const second = await sandbox.coordinator("--listen", first.grpc);
  const { batch, clips } = await outcome;
  assert.equal(batch.state, "BATCH_STATE_SUCCEEDED");
  assert.equal(clips[0]?.attempt, 1, "the worker went on with its clip");
  assert.deepEqual(bytesOf(clips, sandbox), expected);
  assert.equal(await second.stop(), 0);
  const published = await publications(t, sandbox);
  assert.equal(new Set(published).size, published.length, "nothing is published twice");
  assert.equal(published.length, 2);
});
