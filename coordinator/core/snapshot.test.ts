import assert from "node:assert/strict";
import { test } from "node:test";
import { noTotals, TestFarm, testPreview } from "../../test/support/coordinator-core.js";
import { decodeState, encodeState, SnapshotError, snapshotVersion } from "./snapshot.js";
import { emptyState } from "./state.js";

const refused: readonly (readonly [string, string, SnapshotError["code"]])[] = [
  ["of a newer program", `{"version":${snapshotVersion + 1}}`, "FAILED_PRECONDITION"],
  ["without a version", "{}", "IO"],
  ["that is no JSON", "{", "IO"],
  ["that is a list", "[]", "IO"],
];

for (const [what, text, code] of refused) {
  test(`a snapshot ${what} is refused`, () => {
    assert.throws(
      () => decodeState(text),
      (error) => error instanceof SnapshotError && error.code === code,
    );
  });
}

test("an empty state comes back", () => {
  assert.deepEqual(decodeState(encodeState(emptyState())), emptyState());
});

test("leases are the same objects everywhere, and files are unpacked as they were", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 3, preview: testPreview });
  farm.join("w1");
  farm.place();
  farm.complete("w1", farm.lease("w1"));
  farm.ask("w1");
  farm.place();
  const state = decodeState(encodeState(farm.state));
  const clip = state.batches.get("b1")?.clips.get(1);
  assert.ok(clip?.lease);
  assert.equal(state.leases.get("b1/1"), clip.lease);
  assert.ok(state.leasesByWorker.get("w1")?.has(clip.lease));
  const preview = state.batches.get("b1")?.clips.get(0)?.preview;
  assert.deepEqual(preview?.totals, noTotals);
  assert.deepEqual(preview?.artifacts, [
    { key: "clips/b1.0/1/clip.mp4", sha256: "ab", sizeBytes: 1 },
  ]);
});
