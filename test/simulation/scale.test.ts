// A large farm in virtual time: every clip ends, every promise is kept by the checkers that look at
// each event, and the devices are busy. The long form is the size of the largest farm that is
// meant: 10,000 devices and 1,000,000 clips.

import assert from "node:assert/strict";
import { test } from "node:test";
import { runStudy } from "../../simulation/study/run.js";
import { readStudy } from "../../simulation/study/study.js";

const long = process.env["TOCAFARM_TEST_LONG"] === "1";
const devices = long ? 10_000 : 200;
const clips = long ? 1_000_000 : 4_000;
const batches = 20;

test(`${devices} devices render ${clips} clips, whatever crashes`, (t) => {
  const result = runStudy(
    readStudy({
      coordinators: 2,
      devices: [
        { kind: "slow", count: devices * 0.6, speed: 1 },
        { kind: "fast", count: devices * 0.4, speed: 2 },
      ],
      tenants: { a: { weight: 2 }, b: {}, c: { devicesMax: devices / 4 } },
      batches: Array.from({ length: batches }, (_, index) => ({
        tenant: ["a", "b", "c"][index % 3],
        clips: clips / batches,
        secondsPerClip: 10,
        priority: index % 4,
        atMinutes: index / 10,
      })),
      faults: {
        agentCrashesPerHour: long ? 0.05 : 1,
        engineCrashesPerHour: long ? 0.02 : 1,
        partitionsPerHour: long ? 0.02 : 1,
        leaderCrashesPerHour: long ? 2 : 10,
      },
    }),
  );
  const published = result.batches.reduce((sum, batch) => sum + batch.published, 0);
  assert.equal(published, clips);
  assert.ok(result.utilisation > 0.7, `${result.utilisation} of the devices' time is used`);
  const { lost, failed } = result.attempts;
  assert.ok(lost > 0 && failed > 0, "faults have struck");
  t.diagnostic(`${result.events} events, ${result.failovers} failovers, ${lost} interruptions`);
});
