import assert from "node:assert/strict";
import { test } from "node:test";
import { Artifact } from "../../proto/gen/tocafarm/v1/render.js";
import { fromCompleted, fromFailed } from "./agent-messages.js";
import { toArtifactMessage } from "./convert.js";

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

test("a failure becomes one line of at most 500 bytes", () => {
  const told = (message: string) => {
    const failure = { code: "ENGINE_CRASH", message };
    const command = fromFailed("w", { attempt, failure, childDead: true });
    return command.type === "failed" ? command.failure.message : "";
  };
  assert.equal(told("it broke:\n\tat a\u0000b"), "it broke: at a b");
  assert.equal(told("x".repeat(500)), "x".repeat(500));
  assert.equal(told("x".repeat(501)), `${"x".repeat(497)}...`);
  assert.equal(told("\u706b".repeat(1_000)), `${"\u706b".repeat(165)}...`);
  assert.equal(told(""), "the worker gave no reason");
});

test("counts that no answer could carry are cut", () => {
  const command = completion(`${prefix}video.mp4`, { sizeBytes: 2n ** 64n - 1n });
  assert.ok(command.type === "completed");
  assert.equal(command.artifacts[0]?.sizeBytes, Number.MAX_SAFE_INTEGER);
  const [artifact] = command.artifacts.map(toArtifactMessage);
  assert.ok(artifact);
  assert.ok(Artifact.encode(artifact).finish().length > 0);
});
