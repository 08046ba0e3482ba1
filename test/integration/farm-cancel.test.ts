// Cancelling stops the real engine within a block, in every stage: its process is idle at once,
// nothing of the clip stays, and the next clip on the same engine has the right bits.
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { type TestContext, test } from "node:test";
import type { FarmClient } from "../../cli/farm-client.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import { demoPrompts, digests, reachesStep, rendered, submit } from "../support/farm-batches.js";
import {
  clientOf,
  cpuSeconds,
  type FarmProcess,
  FarmSandbox,
  idleWorkers,
} from "../support/farm-processes.js";
import { eventually } from "../support/worker-process.js";

const idleMsMax = 1_000;
const watchedMs = 300;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Running {
  readonly sandbox: FarmSandbox;
  readonly client: FarmClient;
  readonly coordinator: FarmProcess;
  readonly worker: FarmProcess;
}

async function start(t: TestContext): Promise<Running> {
  const sandbox = FarmSandbox.of(t);
  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  const worker = await sandbox.worker(coordinator, "w1");
  await idleWorkers(client, "w1");
  return { sandbox, client, coordinator, worker };
}

async function bytesOfAClip({ sandbox, client }: Running) {
  const clips = await rendered(client, demoPrompts.slice(0, 1));
  return clips.map((clip) => digests(sandbox.artifactsFolder, clip));
}

/** Cancels, and checks that the engine is idle in time and nothing of the clip is left. */
async function cancelled({ sandbox, client, worker }: Running, batch: string): Promise<void> {
  const engine = await worker.engine();
  const { status, stdout, stderr } = await sandbox.run("cancel", batch);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, `batch ${batch} is cancelled\n`);
  const idle = async () => (await client.workers())[0]?.devices[0]?.state === "idle";
  await eventually(idle, { limitMs: idleMsMax, what: "the engine is idle" });
  const before = cpuSeconds(engine);
  await sleep(watchedMs);
  assert.ok(cpuSeconds(engine) - before < watchedMs / 1000 / 3, "the engine computes nothing");
  assert.equal(await worker.engine(), engine, "it is the same process");
  const { clips } = await client.get(batch);
  assert.deepEqual(
    clips.map(({ state, artifacts }) => [state, artifacts.length]),
    clips.map(() => ["CLIP_STATE_CANCELLED", 0]),
  );
  for (const { id } of clips) {
    assert.ok(!existsSync(path.join(sandbox.artifactsFolder, "clips", id)), `${id} left files`);
  }
  assert.deepEqual(readdirSync(sandbox.path("w1", "attempts")), []);
  assert.equal((await worker.children("ffmpeg")).length, 0);
}

test("a cancel in the middle of denoising", async (t) => {
  const farm = await start(t);
  const expected = await bytesOfAClip(farm);
  const long = { steps: 1_000, height: 128, width: 128, frames: 51 };
  const batch = await submit(farm.client, demoPrompts, long);
  await reachesStep(farm.client, { batch, step: 2 });
  await cancelled(farm, batch);
  assert.deepEqual(await bytesOfAClip(farm), expected);
  const metrics = await farm.coordinator.metrics();
  assert.equal(metrics.sum("tocafarm_attempts_total", { outcome: "cancelled" }), 1);
  assert.equal(metrics.one("tocafarm_queue_segments", { state: "queued" }), 0);
});

test("a cancel in the middle of decoding, with FFmpeg at work", async (t) => {
  const farm = await start(t);
  const expected = await bytesOfAClip(farm);
  const large: Partial<RenderSpec> = { steps: 1, height: 256, width: 256, frames: 204 };
  const batch = await submit(farm.client, demoPrompts.slice(0, 1), large);
  const encoding = async () => (await farm.worker.children("ffmpeg")).length > 0;
  await eventually(encoding, { limitMs: 30_000, what: "frames reach FFmpeg" });
  await cancelled(farm, batch);
  assert.deepEqual(await bytesOfAClip(farm), expected);
});
