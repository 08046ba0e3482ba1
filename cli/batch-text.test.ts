import assert from "node:assert/strict";
import { test } from "node:test";
import { Batch, Clip } from "../proto/gen/tocafarm/v1/farm.js";
import { clipCost, clipLines } from "./batch-text.js";

function clipOf(state: Clip["state"], tokensReused: bigint): Clip {
  return Clip.fromPartial({
    id: "b0.0",
    state,
    totals: { tokensComputed: 10n, tokensReused },
  });
}

test("a published clip that took nothing from its cache has a line that says so", () => {
  const [line, ...others] = clipLines(clipOf("CLIP_STATE_PUBLISHED", 0n), "toca");
  assert.match(line ?? "", /^b0\.0: warning: policy toca took nothing from its cache/);
  assert.deepEqual(others, []);
});

test("other clips have none", () => {
  assert.deepEqual(clipLines(clipOf("CLIP_STATE_PUBLISHED", 5n), "toca"), []);
  assert.deepEqual(clipLines(clipOf("CLIP_STATE_PUBLISHED", 0n), "none"), []);
  assert.deepEqual(clipLines(clipOf("CLIP_STATE_RUNNING", 0n), "toca"), []);
});

test("a clip costs what its policy saves against none, where it saves something", () => {
  const bytes = { peakBytes: 2n ** 30n, cacheBytes: 0n };
  const cost = (flopsPerClip: number) =>
    clipCost(Batch.fromPartial({ flopsPerClip, flopsNonePerClip: 4e9, ...bytes }));
  assert.match(cost(1e9), /^a clip takes 1.00 GFLOP instead of 4.00 GFLOP, and 1.00 GiB/);
  assert.match(cost(4e9), /^a clip takes 4.00 GFLOP, and 1.00 GiB/);
});
