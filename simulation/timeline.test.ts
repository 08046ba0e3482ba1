import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "./random.js";
import { Timeline } from "./timeline.js";

test("things happen in the order of their times, and in one moment as they were planned", () => {
  const timeline = new Timeline();
  const random = seededRandom(3);
  const planned = Array.from({ length: 1_000 }, (_, order) => ({ atMs: random.below(50), order }));
  const happened: (typeof planned)[number][] = [];
  for (const one of planned) {
    timeline.after(one.atMs, () => {
      assert.equal(timeline.nowMs, one.atMs);
      happened.push(one);
    });
  }
  while (timeline.step(1_000));
  const sorted = [...planned].sort((a, b) => a.atMs - b.atMs || a.order - b.order);
  assert.deepEqual(happened, sorted);
});

test("nothing happens that was cancelled, or that lies beyond the end", () => {
  const timeline = new Timeline();
  const happened: string[] = [];
  timeline.after(1, () => happened.push("first"));
  timeline.after(2, () => happened.push("cancelled")).cancelled = true;
  timeline.after(3, () => timeline.after(1, () => happened.push("planned on the way")));
  timeline.after(9, () => happened.push("too late"));
  while (timeline.step(5));
  assert.deepEqual(happened, ["first", "planned on the way"]);
  assert.equal(timeline.nowMs, 4);
});
