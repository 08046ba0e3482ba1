// Whatever is asked of a coordinator, however wrong, is answered with a reason that says what to
// do, and leaves the farm as it was. Random requests, with a seed that fast-check prints.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ErrorCode, FarmError } from "../../common/errors.js";
import { callUnary } from "../../common/rpc.js";
import { farmWithAgent } from "../support/coordinator-agent.js";
import { submissionOf, testSpecMessage } from "../support/coordinator-process.js";

const expected: readonly ErrorCode[] = [
  "INVALID_ARGUMENT",
  "NOT_FOUND",
  "ALREADY_EXISTS", // an idempotency key that was drawn twice
  "FAILED_PRECONDITION",
  "OUT_OF_MEMORY",
];

/** Resolves whether it was accepted; fails the test for an error of ours. */
async function answered(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (thrown) {
    const { code, message } = thrown as FarmError; // what callUnary throws
    assert.ok(expected.includes(code), `${code}: ${message}`);
    assert.ok(message.length > 10 && message.length < 600, message);
    return false;
  }
}

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.constantFrom("", "../../etc/passwd", "b000000000000", "clips/x", "\u0000", "x".repeat(5_000)),
);
const uint32 = fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 2 ** 32 - 1 }));
const ranges = fc.array(fc.record({ first: uint32, last: uint32 }), { maxLength: 5 });
const runs = { numRuns: 60 };

test("verbs with random batches, ranges and tiers do their work or say why not", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const { farm } = coordinator;
  const known = await coordinator.submit(["one", "two", "three"]);
  const lease = await agent.lease();
  const batchId = fc.oneof(text, fc.constant(known.id));
  const verbs = fc.record({
    batchId,
    clips: ranges,
    cutRunning: fc.boolean(),
    priority: fc.oneof(fc.nat({ max: 4 }), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
    place: fc.constantFrom(
      "QUEUE_PLACE_FIRST" as const,
      "QUEUE_PLACE_LAST" as const,
      "QUEUE_PLACE_UNSPECIFIED" as const,
    ),
  });
  await fc.assert(
    fc.asyncProperty(verbs, async (request) => {
      await answered(callUnary(farm.pauseBatch.bind(farm), request));
      await answered(callUnary(farm.resumeBatch.bind(farm), request));
      await answered(callUnary(farm.setPriority.bind(farm), request));
      await answered(callUnary(farm.moveBatch.bind(farm), request));
      await answered(callUnary(farm.promoteClips.bind(farm), request));
      await answered(callUnary(farm.approveClips.bind(farm), request));
      await answered(callUnary(farm.rejectClips.bind(farm), request));
      await answered(callUnary(farm.retryClips.bind(farm), request));
    }),
    runs,
  );
  const { batch } = await coordinator.get(known.id);
  assert.equal(batch?.clipsTotal, 3);
  assert.equal(batch?.clipsSkipped, 0);
  agent.complete(lease);
});

test("skips of random ranges change exactly the clips that they name", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  const { farm } = coordinator;
  const prompts = Array.from({ length: 40 }, (_, i) => `clip ${i}`);
  const { id: batchId } = await coordinator.submit(prompts);
  const gone = new Set<number>();
  const place = fc.nat({ max: 42 });
  const some = fc.array(fc.record({ first: place, last: place }), { minLength: 0, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(some, async (clips) => {
      const isGood =
        clips.length > 0 && clips.every(({ first, last }) => first <= last && last < 40);
      const named = new Set<number>();
      for (const { first, last } of clips) for (let i = first; i <= last; i++) named.add(i);
      const ended = gone.size === 40;
      const accepted = await answered(callUnary(farm.skipClips.bind(farm), { batchId, clips }));
      if (!ended) assert.equal(accepted, isGood);
      if (accepted) for (const index of named) gone.add(index);
      const { batch } = await coordinator.get(batchId);
      assert.equal(batch?.clipsSkipped, gone.size);
    }),
    { numRuns: 40 },
  );
});

test("a thousand ranges are a request, and one more is not", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  const { farm } = coordinator;
  const { id: batchId } = await coordinator.submit(["one"]);
  const clips = Array.from({ length: 1_000 }, () => ({ first: 0, last: 0 }));
  const promote = farm.promoteClips.bind(farm);
  assert.equal((await callUnary(promote, { batchId, clips })).clipsChanged, 1);
  await assert.rejects(callUnary(promote, { batchId, clips: [...clips, { first: 0, last: 0 }] }), {
    code: "INVALID_ARGUMENT",
    message: /1001 ranges are given, 1000 are allowed/,
  });
});

test("workers, devices, keys and pages of any name are answered", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  const { farm } = coordinator;
  await fc.assert(
    fc.asyncProperty(text, text, uint32, fc.boolean(), async (a, b, n, undo) => {
      await answered(callUnary(farm.drainWorker.bind(farm), { workerId: a, undo }));
      await answered(callUnary(farm.releaseDevice.bind(farm), { workerId: a, device: b }));
      await answered(callUnary(farm.getArtifactLink.bind(farm), { key: a, validSeconds: n }));
      const page = { batchId: a, clipPageSize: n, clipPageToken: b };
      await answered(callUnary(farm.getBatch.bind(farm), page));
      await answered(callUnary(farm.listBatches.bind(farm), { pageSize: n, pageToken: b }));
    }),
    runs,
  );
});

test("submissions with random tenants, previews, deadlines and policies are judged", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  const policy = fc.record({
    name: fc.oneof(text, fc.constant("toca")),
    options: fc.dictionary(text, text, { maxKeys: 3 }),
  });
  const submissions = fc.record({
    tenant: text,
    name: text,
    idempotencyKey: text,
    priority: fc.option(fc.integer({ min: -10, max: 10 }), { nil: undefined }),
    preview: fc.option(
      fc.record({
        steps: fc.integer({ min: -5, max: 50 }),
        policy: fc.option(policy, { nil: undefined }),
      }),
      { nil: undefined },
    ),
    deadline: fc.option(fc.date({ noInvalidDate: true }), { nil: undefined }),
    spec: policy.map((random) => ({ ...testSpecMessage, policy: random })),
  });
  await fc.assert(
    fc.asyncProperty(submissions, async (request) => {
      const prompts = ["a red circle"];
      await answered(coordinator.submit(prompts, { ...submissionOf(prompts), ...request }));
    }),
    runs,
  );
  const metrics = await coordinator.metrics();
  assert.match(metrics, /tocafarm_queue_segments/, "it is there and well");
});
