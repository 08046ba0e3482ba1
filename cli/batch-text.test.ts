import assert from "node:assert/strict";
import { test } from "node:test";
import { Clip } from "../proto/gen/tocafarm/v1/farm.js";
import { clipLines } from "./batch-text.js";

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
