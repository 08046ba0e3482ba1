import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { AssertionError } from "../../common/assert.js";
import { packageRoot } from "../../common/paths.js";
import { testSpec } from "../../test/support/coordinator-core.js";
import type { FarmEvent } from "../core/events.js";
import {
  currentVersion,
  decodeMessage,
  decodeTurn,
  encodeContinuation,
  encodeTurn,
  turnBytesMax,
} from "./event-codec.js";

const ref = { at: 1_700_000_000_000, batch: "b1", clip: 99_999, attempt: 3 } as const;
const of = { at: ref.at, batch: "b1" } as const;
const device = { worker: "w1", device: "cuda:0", kind: "cuda/H200/132/bf16/1" } as const;
const failure = { code: "ENGINE_CRASH", message: 'it broke: ü, \u2028 and "quotes"' } as const;
const artifacts = [{ key: "clips/b1.99999/3/clip.mp4", sha256: "ab", sizeBytes: 1 }] as const;
const totals = {
  ...{ tokensComputed: 10, tokensReused: 30, flops: 1.5e17, flopsNone: 4e17 },
  ...{ textEncodeSeconds: 0.1, denoiseSeconds: 1, decodeSeconds: 0.2 },
  ...{ encodeSeconds: 0.1, uploadSeconds: 0.1 },
} as const;
const plan = {
  ...{ flops: 1e17, flopsNone: 4e17, cacheBytes: 1, peakBytes: 2, digest: "d" },
  ...{ warnings: ["w"], refreshPoints: [1, 2, 6] },
} as const;
const preview = { steps: 8, policy: { name: "fora", options: { interval: "5" } }, plan } as const;
const clips = [
  [0, 4],
  [7, 7],
] as const;

/** One event of each type: a type without an example does not compile. */
const examples: { readonly [Type in FarmEvent["type"]]: Extract<FarmEvent, { type: Type }> } = {
  LeaderStarted: { type: "LeaderStarted", at: ref.at, term: 7 },
  BatchAccepted: {
    ...{ type: "BatchAccepted", ...of, name: "ein Name mit ü", tenant: "t", priority: 0 },
    ...{ spec: { ...testSpec, seed: "18446744073709551615" }, weightsDigest: "w", clips: 100_000 },
    ...{ segments: 3, promptsKey: "blobs/00", promptsSha256: "00", plan, preview },
    ...{ deadlineAt: ref.at + 1, idempotencyKey: "k", bodySha256: "b" },
  },
  BatchCancelled: { type: "BatchCancelled", ...of },
  BatchPaused: { type: "BatchPaused", ...of },
  BatchResumed: { type: "BatchResumed", ...of },
  PrioritySet: { type: "PrioritySet", ...of, priority: 4 },
  BatchMoved: { type: "BatchMoved", ...of, place: "first" },
  ClipsRetried: { type: "ClipsRetried", ...of, clips },
  ClipsSkipped: { type: "ClipsSkipped", ...of, clips, reason: "rejected" },
  ClipsPromoted: { type: "ClipsPromoted", ...of, clips },
  ClipsApproved: { type: "ClipsApproved", ...of, clips },
  LeaseGranted: {
    ...{ type: "LeaseGranted", ...ref, ...device, preview: true, segment: 2, resumeStep: 6 },
    ...{ deviceSeconds: 12.25, tier: 1, weight: 2 },
  },
  AttemptStarted: { type: "AttemptStarted", ...ref },
  CheckpointStored: {
    ...{ type: "CheckpointStored", ...ref },
    checkpoint: { step: 12, artifact: artifacts[0], totals },
  },
  AttemptLost: { type: "AttemptLost", ...ref, reason: "cut", retryAt: ref.at },
  AttemptFailed: {
    ...{ type: "AttemptFailed", ...ref, failure, retryAt: ref.at + 5, memoryBytesAbove: 8e10 },
  },
  SegmentCompleted: { type: "SegmentCompleted", ...ref, artifacts, totals },
  PreviewPublished: { type: "PreviewPublished", ...ref, artifacts, totals },
  ClipPublished: { type: "ClipPublished", ...ref, artifacts, totals },
  ClipFailed: { type: "ClipFailed", ...of, clip: 0, failure },
  DeviceQuarantined: { type: "DeviceQuarantined", at: ref.at, ...device, failure },
  DeviceReleased: {
    ...{ type: "DeviceReleased", at: ref.at, ...device, by: "canary", sha256: "ab" },
    weightsDigest: "w",
  },
  WorkerDrained: { type: "WorkerDrained", at: ref.at, worker: "w1" },
  WorkerUndrained: { type: "WorkerUndrained", at: ref.at, worker: "w1" },
};

for (const [type, event] of Object.entries(examples)) {
  test(`${type} comes back from its bytes as it was`, () => {
    assert.deepEqual(decodeTurn(encodeTurn([event])), [event]);
  });
}

test("a turn of many events comes back in its order", () => {
  const events = Object.values(examples);
  assert.deepEqual(decodeTurn(encodeTurn(events)), events);
  assert.deepEqual(decodeTurn(encodeTurn([])), []);
});

test("a log of version 1 is raised to the present form", () => {
  const file = path.join(packageRoot(), "test", "event-logs", "version-1.jsonl");
  const turns = readFileSync(file, "utf8").trimEnd().split("\n");
  const events = turns.flatMap((line) => decodeTurn(Buffer.from(line)));
  assert.deepEqual(
    [...new Set(events.map(({ type }) => type))].sort(),
    [
      ...["AttemptFailed", "AttemptLost", "AttemptStarted", "BatchAccepted", "BatchCancelled"],
      ...["ClipFailed", "ClipPublished", "LeaderStarted", "LeaseGranted"],
    ],
    "every type of version 1 is in it",
  );
  for (const event of events) {
    const example: Readonly<Record<string, unknown>> = { ...examples[event.type] };
    assert.deepEqual(Object.keys(event).sort(), Object.keys(example).sort(), event.type);
    if (event.type === "BatchAccepted") {
      assert.deepEqual(Object.keys(event.plan).sort(), Object.keys(plan).sort());
      assert.deepEqual(Object.keys(event.spec).sort(), Object.keys(testSpec).sort());
      assert.equal(event.segments, 1);
      assert.equal(event.preview, null);
    }
  }
});

test("the end of a part is told from a turn", () => {
  const bytes = encodeContinuation(42);
  assert.deepEqual(decodeMessage(bytes), { type: "continuation", first: 42 });
  assert.throws(() => decodeTurn(bytes), { code: "IO" });
});

test("a log of a newer program is refused, and so is what is no turn", () => {
  const newer = Buffer.from(JSON.stringify({ version: currentVersion + 1, events: [] }));
  assert.throws(() => decodeTurn(newer), { code: "FAILED_PRECONDITION", message: /newer program/ });
  const both = '{"version":2,"events":[],"continuesAt":3}';
  for (const text of ["", "{}", '{"version":0,"events":[]}', '{"version":1}', both]) {
    assert.throws(() => decodeMessage(Buffer.from(text)), { code: "IO" }, text);
  }
});

test("a turn that no message can hold is our own mistake", () => {
  const long: FarmEvent = { ...examples.WorkerDrained, worker: "w".repeat(turnBytesMax) };
  assert.throws(() => encodeTurn([long]), AssertionError);
});
