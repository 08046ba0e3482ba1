// A real coordinator process with its own nats-server, real gRPC on loopback, and an agent that the
// test plays.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { callUnary, readStream } from "../../common/rpc.js";
import type { WatchBatchResponse } from "../../proto/gen/tocafarm/v1/farm.js";
import { farmWithAgent } from "../support/coordinator-agent.js";
import { eventually, submissionOf, testSpecMessage } from "../support/coordinator-process.js";

test("a batch is leased, rendered and published, and its watcher sees it all", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["a red circle", "a green square"]);
  assert.equal(batch.state, "BATCH_STATE_QUEUED");
  const seen: WatchBatchResponse[] = [];
  const watching = (async () => {
    const request = { batchId: batch.id, afterSequence: 0n };
    for await (const message of readStream<WatchBatchResponse>(
      coordinator.farm.watchBatch(request),
    )) {
      seen.push(message);
    }
  })();
  const first = await agent.lease();
  assert.equal(first.prompt, "a red circle");
  assert.equal(first.seed, 42n);
  assert.equal(first.artifactPrefix, `clips/${batch.id}.000000/1/`);
  assert.equal((await coordinator.get(batch.id)).clips[0]?.state, "CLIP_STATE_LEASED");
  agent.progress([first.attempt], 3);
  const running = await eventually(async () => {
    const [clip] = (await coordinator.get(batch.id)).clips;
    return clip?.state === "CLIP_STATE_RUNNING" ? clip : undefined;
  });
  assert.equal(running.step, 3);
  agent.complete(first);
  const second = await agent.lease();
  assert.equal(second.seed, 43n);
  agent.complete(second);
  await watching;
  const last = seen.at(-1);
  assert.equal(last?.batch?.state, "BATCH_STATE_SUCCEEDED");
  assert.equal(last?.batch?.clipsPublished, 2);
  assert.ok((last?.sequence ?? 0n) > 0n);
  const { clips } = await coordinator.get(batch.id);
  assert.deepEqual(
    clips.map(({ state, attempt, worker }) => [state, attempt, worker]),
    [
      ["CLIP_STATE_PUBLISHED", 1, "w1"],
      ["CLIP_STATE_PUBLISHED", 1, "w1"],
    ],
  );
  assert.equal(clips[0]?.artifacts[0]?.key, `clips/${batch.id}.000000/1/clip.mp4`);
  const metrics = await coordinator.metrics();
  assert.match(metrics, /tocafarm_attempts_total\{outcome="published",reason="none"\} 2/);
  assert.match(metrics, /tocafarm_attempts_total\{outcome="failed",reason="ENGINE_CRASH"\} 0/);
  assert.match(metrics, /tocafarm_queue_segments\{state="queued"\} 0/);
  assert.match(metrics, /tocafarm_devices\{state="idle"\} 1/);
});

test("a watcher that comes back by sequence hears only what it missed", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one", "two", "three"]);
  agent.complete(await agent.lease());
  const { sequence } = await eventually(async () => {
    const answer = await coordinator.get(batch.id);
    return answer.batch?.clipsPublished === 1 ? answer : undefined;
  });
  agent.complete(await agent.lease());
  await eventually(async () =>
    (await coordinator.get(batch.id)).batch?.clipsPublished === 2 ? true : undefined,
  );
  const request = { batchId: batch.id, afterSequence: sequence };
  const stream = readStream<WatchBatchResponse>(coordinator.farm.watchBatch(request));
  const { value } = await stream.next();
  assert.deepEqual(
    value?.clips.map(({ index }) => index),
    [1],
  );
  await stream.return();
});

test("cancelling stops the engine at once and leaves nothing to be published", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one", "two"]);
  const lease = await agent.lease();
  const cancel = coordinator.farm.cancelBatch.bind(coordinator.farm);
  const answer = await callUnary(cancel, { batchId: batch.id });
  assert.equal(answer.batch?.state, "BATCH_STATE_CANCELLED");
  assert.equal(answer.batch?.clipsCancelled, 2);
  const told = await eventually(() => agent.cancels[0]);
  assert.deepEqual(told, { attempt: lease.attempt, reason: "cancelled" });
  agent.complete(lease);
  await eventually(async () =>
    /outcome="superseded",reason="completed"\} 1/.test(await coordinator.metrics())
      ? true
      : undefined,
  );
  assert.equal((await coordinator.get(batch.id)).batch?.clipsPublished, 0);
  const again = await callUnary(cancel, { batchId: batch.id });
  assert.equal(again.batch?.state, "BATCH_STATE_CANCELLED");
});

test("a failed attempt is tried again after a wait, and invalid input is not", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one"]);
  const first = await agent.lease();
  agent.fail(first.attempt, "ENGINE_CRASH");
  await eventually(async () => {
    const [clip] = (await coordinator.get(batch.id)).clips;
    return clip?.state === "CLIP_STATE_RETRY_WAIT" && clip.failure?.code === "ENGINE_CRASH"
      ? true
      : undefined;
  });
  const second = await agent.lease();
  assert.equal(second.attempt.attempt, 2);
  agent.fail(second.attempt, "INVALID_ARGUMENT");
  const failed = await eventually(async () => {
    const answer = await coordinator.get(batch.id);
    return answer.batch?.state === "BATCH_STATE_FAILED" ? answer : undefined;
  });
  assert.equal(failed.clips[0]?.failure?.message, "the test says INVALID_ARGUMENT");
});

test("the same idempotency key answers the same batch, another body is refused", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  const first = await coordinator.submit(["one"], { idempotencyKey: "k" });
  const again = await coordinator.submit(["one"], { idempotencyKey: "k" });
  assert.equal(again.id, first.id);
  await assert.rejects(coordinator.submit(["two"], { idempotencyKey: "k" }), {
    code: "ALREADY_EXISTS",
  });
  const list = coordinator.farm.listBatches.bind(coordinator.farm);
  const { batches } = await callUnary(list, { pageSize: 0, pageToken: "" });
  assert.equal(batches.length, 1);
});

const refusals = [
  ["no prompt", { prompts: [] }, "INVALID_ARGUMENT", /at least one prompt/],
  ["an empty prompt", { prompts: ["a", " "] }, "INVALID_ARGUMENT", /prompt 1 is empty/],
  [
    "a prompt too long",
    { prompts: ["x".repeat(20_000)] },
    "INVALID_ARGUMENT",
    /prompt 0 has 20000/,
  ],
  ["no spec", { spec: undefined }, "INVALID_ARGUMENT", /no spec/],
  ["no steps", { spec: { ...testSpecMessage, steps: 0 } }, "INVALID_ARGUMENT", /steps is 0/],
  ["a bad priority", { priority: 5 }, "INVALID_ARGUMENT", /priority is 5/],
  [
    "a model that nobody has",
    { spec: { ...testSpecMessage, model: "big" } },
    "FAILED_PRECONDITION",
    /no worker announces model "big"; they have demo/,
  ],
  [
    "a device that nobody has",
    { spec: { ...testSpecMessage, device: "cuda" } },
    "FAILED_PRECONDITION",
    /has a cuda device/,
  ],
  [
    "more memory than any device has",
    { spec: { ...testSpecMessage, frames: 4000, height: 2000, width: 2000 } },
    "OUT_OF_MEMORY",
    /needs 192\.0 GB, .* of it for its cache; the biggest device, cpu of .*, has 8\.0 GB/,
  ],
  [
    "a latent that is not there",
    { spec: { ...testSpecMessage, initialLatentKey: `blobs/${"0".repeat(64)}` } },
    "NOT_FOUND",
    /is not in the artifact store/,
  ],
] as const;

test("a bad submission is refused with its index or bound, and leaves nothing", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  for (const [what, change, code, message] of refusals) {
    const request = { ...submissionOf(["a"]), ...change };
    const prompts = [...request.prompts];
    await assert.rejects(
      coordinator.submit(prompts, { ...request, prompts }),
      { code, message },
      what,
    );
  }
  const list = coordinator.farm.listBatches.bind(coordinator.farm);
  assert.deepEqual((await callUnary(list, { pageSize: 0, pageToken: "" })).batches, []);
});

test("100,000 prompts are one submission", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const prompts = Array.from({ length: 100_000 }, (_, i) => `a clip of number ${i}`);
  const batch = await coordinator.submit(prompts);
  assert.equal(batch.clipsTotal, 100_000);
  assert.equal((await agent.lease()).prompt, prompts[0]);
  let clips = 0;
  const request = { batchId: batch.id, afterSequence: 0n };
  for await (const message of readStream<WatchBatchResponse>(
    coordinator.farm.watchBatch(request),
  )) {
    clips += message.clips.length;
    if (message.sequence > 0n) break;
  }
  assert.equal(clips, 100_000);
});

test("an uploaded blob is named by its digest, and only what is published goes down", async (t) => {
  const { data, coordinator } = await farmWithAgent(t);
  const { key } = await new Promise<{ key: string }>((resolve, reject) => {
    const call = coordinator.farm.uploadBlob((error, response) => {
      if (error || !response?.artifact) reject(error);
      else resolve(response.artifact);
    });
    call.write({ chunk: Buffer.from("hello ") });
    call.write({ chunk: Buffer.from("world") });
    call.end();
  });
  const sha256 = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
  assert.equal(key, `blobs/${sha256}`);
  assert.ok(existsSync(path.join(data, "artifacts", key)));
  const download = readStream(coordinator.farm.downloadArtifact({ key }));
  await assert.rejects(download.next(), { code: "NOT_FOUND" });
});
