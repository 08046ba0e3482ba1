import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm, testPlan } from "../../test/support/coordinator-core.js";
import type { FarmEvent } from "./events.js";
import { defaultRules } from "./rules.js";

const rules = { ...defaultRules, stuck: { factor: 5, floorMs: 30_000, unlearntMs: 60_000 } };
const types = (events: readonly FarmEvent[]) => events.map(({ type }) => type);

function leased(): TestFarm {
  const farm = new TestFarm(rules);
  farm.submit("b1", { clips: 2 });
  farm.join("w1");
  farm.place();
  return farm;
}

/** Events while the agent names its attempt at the same place again and again. */
function stand(farm: TestFarm, ms: number, step: number): readonly FarmEvent[] {
  const events: FarmEvent[] = [];
  for (let passed = 0; passed < ms; passed += 1_000) {
    farm.now += 1_000;
    events.push(...farm.report("w1", { step }).events, ...farm.wait(0).events);
  }
  return events;
}

test("an attempt that stands still is stopped and fails, however well its agent is", () => {
  const farm = leased();
  stand(farm, 1_000, 3);
  const ref = { batch: "b1", clip: 0, attempt: 1 };
  assert.deepEqual(stand(farm, 29_000, 3), []);
  farm.now += 1_000;
  farm.report("w1", { step: 3 });
  const { events, effects } = farm.wait(0);
  const [failed] = events;
  assert.deepEqual(types(events), ["AttemptFailed"]);
  assert.equal(failed?.type === "AttemptFailed" && failed.failure.code, "DEADLINE_EXCEEDED");
  assert.deepEqual(effects, [{ type: "stop_attempt", worker: "w1", ref, reason: "stuck" }]);
});

test("its slot is free only when the agent says that the child is dead", () => {
  const farm = leased();
  const ref = { batch: "b1", clip: 0, attempt: 1 };
  stand(farm, 31_000, 3);
  assert.equal(farm.leasesOf("w1").length, 0);
  const attempts = [{ ...ref, stage: "denoise", step: 3, steps: 30, totals: null }];
  const named = { worker: "w1", attempts, idleDevices: ["cpu"], draining: false };
  farm.do({ type: "progress", ...named });
  assert.deepEqual(farm.place().events, []);
  farm.fail("w1", ref, "CANCELLED");
  farm.ask("w1");
  assert.equal(farm.place().events.length, 1);
});

test("an attempt that moves is never stuck, however long it takes", () => {
  const farm = leased();
  for (let step = 0; step < 30; step++) {
    assert.ok(!types(stand(farm, 20_000, step)).includes("AttemptFailed"));
  }
});

test("a kind that has finished nothing yet may stand still for a bounded time", () => {
  const farm = new TestFarm(rules);
  farm.submit("b1", { clips: 1, plan: { ...testPlan, flops: 1e15 } });
  farm.join("w1");
  farm.place();
  assert.deepEqual(types(stand(farm, 58_000, 1)), ["AttemptStarted"]);
  assert.deepEqual(types(stand(farm, 5_000, 1)), ["AttemptFailed"]);
});

test("a slow kind of device may take several times as long as its speed says", () => {
  const farm = leased();
  farm.now += 600_000;
  farm.complete("w1", farm.lease("w1")); // 20 s a step
  farm.ask("w1");
  farm.place();
  assert.deepEqual(types(stand(farm, 95_000, 1)), ["AttemptStarted"]);
  assert.ok(types(stand(farm, 10_000, 1)).includes("AttemptFailed"));
});

test("what waits behind a stuck attempt is not stuck itself, and goes elsewhere", () => {
  const farm = leased();
  farm.ask("w1", 5);
  farm.place();
  const [running, waiting] = farm.leasesOf("w1");
  assert.ok(running && waiting);
  const attempts = [
    { ...running, stage: "denoise", step: 5, steps: 30, totals: null },
    { ...waiting, stage: "", step: 0, steps: 0, totals: null },
  ];
  const events: FarmEvent[] = [];
  for (let second = 0; second < 40; second++) {
    farm.now += 1_000;
    farm.do({ type: "progress", worker: "w1", attempts, idleDevices: [], draining: false });
    events.push(...farm.wait(0).events);
  }
  assert.deepEqual(
    events.map((event) => [event.type, "clip" in event && event.clip]),
    [
      ["AttemptLost", 1],
      ["AttemptFailed", 0],
    ],
  );
});
