import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../common/clock.js";
import { stepsMessage } from "../test/support/worker-agent.js";
import { testLease } from "../test/support/worker-link-server.js";
import { AttemptTally } from "./attempt-tally.js";
import { drainTimes, mayFinish } from "./drain.js";
import { Pace, remaining } from "./remaining.js";

test("a grace keeps time to cut and time to hand back, in proportion when it is short", () => {
  assert.deepEqual(drainTimes(180_000), { cutAtMs: 170_000, handBackAtMs: 178_000 });
  assert.deepEqual(drainTimes(3_000), { cutAtMs: 2_000, handBackAtMs: 2_700 });
  assert.deepEqual(drainTimes(0), { cutAtMs: 0, handBackAtMs: 0 });
});

test("an attempt goes on while it can end in time, or while nobody knows and it is early", () => {
  const times = drainTimes(30_000);
  const cases = [
    [{ seconds: 27, certain: true }, 0, true],
    [{ seconds: 29, certain: true }, 0, false],
    [{ seconds: 5, certain: true }, 22_000, true],
    [{ seconds: 0, certain: false }, 0, true],
    [{ seconds: 29, certain: false }, 0, false],
    [{ seconds: 0, certain: false }, 20_000, false],
  ] as const;
  for (const [left, nowMs, expected] of cases) {
    assert.equal(mayFinish(left, nowMs, times), expected, JSON.stringify([left, nowMs]));
  }
});

test("what remains is the own steps, and the stages after as they were before", () => {
  let nowMs = 0;
  const clock: Clock = { now: () => nowMs };
  const tally = new AttemptTally({ spec: undefined, resume: undefined }, clock);
  const pace = new Pace();
  const left = () => remaining(tally, pace, 100);
  assert.deepEqual(left(), { seconds: 0, certain: false }, "nothing is known");
  for (const stage of ["decode", "encode", "upload"] as const) pace.observe(stage, 2, 200);
  assert.deepEqual(left(), { seconds: 3, certain: false }, "half the pixels, half the time");
  tally.begin("decode");
  assert.deepEqual(left(), { seconds: 3, certain: true });
  nowMs = 400;
  assert.deepEqual(left(), { seconds: 2.6, certain: true });
  nowMs = 1_001;
  assert.deepEqual(left(), { seconds: 2, certain: false }, "it takes longer than before");
  tally.begin("upload");
  assert.deepEqual(left(), { seconds: 1, certain: true });
});

test("a resumed attempt is measured by its own steps", () => {
  const resume = { step: 6, artifact: undefined, totals: undefined };
  const lease = { ...testLease({}, { steps: 10 }), resume };
  const tally = new AttemptTally(lease, { now: () => 0 });
  tally.begin("denoise");
  tally.onEngineEvent(stepsMessage(8, [3, 5]));
  assert.equal(tally.secondsPerStep, 4);
  assert.equal(remaining(tally, new Pace(), 1).seconds, 8);
});
