import assert from "node:assert/strict";
import { test } from "node:test";
import { testSubmission } from "../test/support/coordinator-core.js";
import type { FarmEvent } from "./core/events.js";
import { eventBytesMax } from "./event-bytes.js";

const of = { at: 9_999_999_999_999, batch: "bzzzzzzzzzzzz", clip: 99_999, attempt: 999_999 };
const long = -1.2345678901234567e-100;
const totals = {
  ...{ tokensComputed: long, tokensReused: long, flops: long, flopsNone: long },
  ...{ textEncodeSeconds: long, denoiseSeconds: long, decodeSeconds: long },
  ...{ encodeSeconds: long, uploadSeconds: long },
};
const sizeBytes = Number.MAX_SAFE_INTEGER;
const artifact = { key: `clips/${"k".repeat(294)}`, sha256: "f".repeat(64), sizeBytes };
const artifacts = Array.from({ length: 16 }, () => artifact);
const failure = { code: "ENGINE_CRASH", message: '\u706b\u0001"\\'.repeat(100) };

const longest: readonly FarmEvent[] = [
  { type: "AttemptStarted", ...of },
  { type: "AttemptLost", ...of, reason: "handed_back", retryAt: of.at },
  {
    ...{ type: "CheckpointStored", ...of },
    checkpoint: { step: 1_000, artifact: { ...artifact, sizeBytes }, totals },
  },
  { type: "SegmentCompleted", ...of, artifacts, totals },
  { type: "PreviewPublished", ...of, artifacts, totals },
  { type: "ClipPublished", ...of, artifacts, totals },
  { type: "AttemptFailed", ...of, failure, retryAt: of.at, memoryBytesAbove: sizeBytes },
  {
    ...{ type: "BatchAccepted", at: of.at },
    ...testSubmission("b1", { name: "\u706b".repeat(200), clips: 1 }),
  },
];

for (const event of longest) {
  test(`${event.type} takes no more bytes than are counted, nor far fewer`, () => {
    const bytes = Buffer.byteLength(JSON.stringify(event));
    const counted = eventBytesMax(event);
    assert.ok(bytes <= counted && counted <= 1.7 * bytes, `${counted} counted, ${bytes} taken`);
  });
}
