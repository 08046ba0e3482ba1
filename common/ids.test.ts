import assert from "node:assert/strict";
import { test } from "node:test";
import { clipId, isBatchId, newBatchId, parseSegmentId, segmentId } from "./ids.js";

test("batch ids sort by time whatever their random part is", () => {
  const early = newBatchId(1_700_000_000_000, Uint8Array.of(255, 255, 255, 255));
  const late = newBatchId(1_700_000_000_001, Uint8Array.of(0, 0, 0, 0));
  assert.ok(early < late);
  assert.ok(isBatchId(early) && isBatchId(late));
});

test("two batches of the same millisecond have different ids", () => {
  assert.notEqual(newBatchId(1_700_000_000_000), newBatchId(1_700_000_000_000));
});

test("a segment's name is read back to its parts", () => {
  const batch = newBatchId(1_700_000_000_000);
  assert.equal(clipId(batch, 42), `${batch}.000042`);
  assert.deepEqual(parseSegmentId(segmentId(batch, 42)), { batch, index: 42, segment: 0 });
});

test("a name that is no segment id is refused", () => {
  assert.throws(() => parseSegmentId("../../etc/passwd"), { code: "INVALID_ARGUMENT" });
});
