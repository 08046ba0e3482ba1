import assert from "node:assert/strict";
import { test } from "node:test";
import type { Artifact } from "../../proto/gen/tocafarm/v1/render.js";
import { fromCompleted } from "./agent-messages.js";

const attempt = { segmentId: "b0123456789ab.000000.0", attempt: 2 };
const prefix = "clips/b0123456789ab.000000/2/";

function completion(key: string, more: Partial<Artifact> = {}) {
  const artifact = { key, sha256: "a".repeat(64), sizeBytes: 1n, ...more };
  return fromCompleted("w", { attempt, artifacts: [artifact], totals: undefined });
}

test("an attempt is completed by files under its own prefix alone", () => {
  assert.equal(completion(`${prefix}video.mp4`).type, "completed");
  const elsewhere = [
    "clips/b0123456789ab.000000/1/video.mp4",
    "clips/b0123456789ab.000001/2/video.mp4",
    `${prefix}../../../secret`,
    `${prefix}.hidden`,
    `${prefix}a//b`,
    `${prefix}${"x".repeat(300)}`,
    prefix,
  ];
  for (const key of elsewhere) {
    assert.throws(() => completion(key), { code: "INVALID_ARGUMENT" }, key);
  }
  const digest = { code: "INVALID_ARGUMENT", message: /has no SHA-256/ };
  assert.throws(() => completion(`${prefix}video.mp4`, { sha256: "A".repeat(64) }), digest);
});
