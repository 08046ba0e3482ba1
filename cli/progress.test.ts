import assert from "node:assert/strict";
import { test } from "node:test";
import { type Batch, Clip, WatchBatchResponse } from "../proto/gen/tocafarm/v1/farm.js";
import { BatchTracker } from "./batch-tracker.js";
import { plain } from "./json-output.js";
import { ProgressView } from "./progress.js";

function batchOf(fields: Partial<Batch>): Batch {
  return {
    ...emptyBatch,
    id: "b0",
    state: "BATCH_STATE_ACTIVE",
    clipsTotal: 2,
    ...fields,
  };
}

const emptyBatch: Batch = {
  id: "",
  name: "",
  state: "BATCH_STATE_QUEUED",
  spec: undefined,
  tenant: "",
  priority: 2,
  submittedAt: undefined,
  endedAt: undefined,
  clipsTotal: 0,
  clipsPublished: 0,
  clipsFailed: 0,
  clipsCancelled: 0,
  flopsPerClip: 0,
  flopsNonePerClip: 0,
  cacheBytes: 0n,
  peakBytes: 0n,
  warnings: [],
  preview: undefined,
  deadline: undefined,
  clipsSkipped: 0,
  clipsAwaitingApproval: 0,
  paused: false,
  late: false,
};

const running = { index: 0, state: "CLIP_STATE_RUNNING", steps: 30, worker: "w", device: "cpu" };

function shown(isTTY: boolean, messages: readonly (readonly Partial<Clip>[])[]): string {
  let text = "";
  const view = new ProgressView({ isTTY, columns: 100, write: (part) => (text += part) });
  const tracker = new BatchTracker(batchOf({}));
  for (const clips of messages) {
    const message = WatchBatchResponse.fromPartial({ batch: tracker.batch });
    const changes = tracker.take({
      ...message,
      clips: clips.map((clip) => Clip.fromPartial(clip)),
    });
    view.update(tracker, changes);
  }
  return text;
}

test("without a terminal a line is written for each change of state, not for each step", () => {
  const text = shown(false, [
    [{ ...running, state: "CLIP_STATE_RUNNING", step: 1, prompt: "a cat" }],
    [{ ...running, state: "CLIP_STATE_RUNNING", step: 2 }],
    [{ ...running, state: "CLIP_STATE_PUBLISHED", seconds: 2.5 }],
  ]);
  assert.deepEqual(text.trimEnd().split("\n"), [
    "clip 0000 rendering on w (cpu): a cat",
    "clip 0000 done in 2.5 s on w, - of tokens from cache (1 of 2)",
  ]);
});

test("a failure is told with its code, and whether it is tried again", () => {
  const failure = { code: "ENGINE_CRASH", message: "it died" };
  const text = shown(false, [
    [{ index: 1, state: "CLIP_STATE_RETRY_WAIT", attempt: 1, failure }],
    [{ index: 1, state: "CLIP_STATE_FAILED", attempt: 3, failure }],
  ]);
  assert.match(text, /clip 0001 attempt 1 failed and is tried again: ENGINE_CRASH: it died/);
  assert.match(text, /clip 0001 failed: ENGINE_CRASH: it died/);
});

test("on a terminal the lines at work are drawn over themselves", () => {
  const text = shown(true, [
    [{ ...running, state: "CLIP_STATE_RUNNING", step: 15, prompt: "a cat" }],
    [{ ...running, state: "CLIP_STATE_PUBLISHED", seconds: 2.5 }],
  ]);
  assert.match(text, /0000 ##########\.{10} {3}15\/30 {2}w {2}a cat\n/);
  assert.ok(text.includes("\x1b[2A\x1b[J"), "two lines are erased before the next drawing");
});

test("JSON has plain numbers, lower-case states and ISO times", () => {
  const submittedAt = new Date(0);
  assert.deepEqual(plain({ state: "CLIP_STATE_RETRY_WAIT", seed: 7n, submittedAt }), {
    state: "retry wait",
    seed: 7,
    submittedAt: "1970-01-01T00:00:00.000Z",
  });
  assert.equal(plain(2n ** 64n - 1n), "18446744073709551615");
});
