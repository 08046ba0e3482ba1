import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultRetryPolicy, interruptionDelayMs, retryDelayMs } from "./retry-policy.js";

test("waits double up to a bound, with the same jitter whenever they are worked out", () => {
  const delays = [1, 2, 3, 10].map((n) => retryDelayMs(defaultRetryPolicy, n, "b/0/1"));
  assert.deepEqual(
    delays,
    [1, 2, 3, 10].map((n) => retryDelayMs(defaultRetryPolicy, n, "b/0/1")),
  );
  for (const [i, boundMs] of [1_000, 2_000, 4_000, 60_000].entries()) {
    assert.ok((delays[i] ?? 0) >= boundMs / 2 && (delays[i] ?? 0) <= boundMs);
  }
  const others = new Set(
    [0, 1, 2, 3].map((clip) => retryDelayMs(defaultRetryPolicy, 1, `b/${clip}/1`)),
  );
  assert.ok(others.size > 1, "clips that failed together do not come back together");
});

test("the first interruptions cost no wait, the later ones do", () => {
  assert.equal(interruptionDelayMs(defaultRetryPolicy, 2, "b/0/1"), 0);
  assert.ok(interruptionDelayMs(defaultRetryPolicy, 3, "b/0/1") > 0);
});
