import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm, testPreview, testSpec } from "../../test/support/coordinator-core.js";
import { forecast } from "./forecast.js";
import { defaultRules, type Rules } from "./rules.js";

/** A farm whose devices have shown that a clip takes 10 s. */
function learnt(workers: number, rules: Rules = defaultRules): TestFarm {
  const farm = new TestFarm(rules);
  farm.submit("b0", { clips: 1 });
  farm.join("w0");
  farm.place();
  farm.now += 10_000;
  farm.complete("w0", farm.lease("w0"));
  for (let i = 1; i < workers; i++) farm.join(`w${i}`);
  return farm;
}

function finish(farm: TestFarm, batch: string): number | null {
  return forecast(farm.farm, farm.now).batches.get(batch)?.secondsToFinish ?? null;
}

function near(value: number | null, expected: number): void {
  assert.ok(value !== null && Math.abs(value - expected) < 1e-6, `${value}, not ${expected}`);
}

test("a batch takes its device-seconds over the devices that are there", () => {
  const farm = learnt(4);
  farm.submit("b1", { clips: 20 });
  near(forecast(farm.farm, farm.now).batches.get("b1")?.deviceSecondsLeft ?? null, 200);
  near(finish(farm, "b1"), 50);
});

test("before a speed was learnt one is assumed, slower than any device", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 50 });
  near(forecast(farm.farm, farm.now).batches.get("b1")?.deviceSecondsLeft ?? null, 1);
});

test("no number of devices renders one clip faster", () => {
  const farm = learnt(4);
  farm.submit("b1", { clips: 1, segments: 3 });
  near(finish(farm, "b1"), 30);
});

test("better tiers come before, tenants share by weight, and batches of one tenant queue", () => {
  const rules = {
    ...defaultRules,
    tenants: { heavy: { ...defaultRules.tenantDefault, weight: 3 } },
  };
  const farm = learnt(2, rules);
  farm.submit("urgent", { clips: 4, priority: 0 });
  farm.submit("a", { clips: 10, tenant: "light" });
  farm.submit("b1", { clips: 6, tenant: "heavy" });
  farm.submit("b2", { clips: 6, tenant: "heavy" });
  near(finish(farm, "urgent"), 20);
  near(finish(farm, "b1"), 20 + 60 / 1.5);
  near(finish(farm, "b2"), 20 + 120 / 1.5);
  near(finish(farm, "a"), 20 + (100 + 120) / 2);
  near(forecast(farm.farm, farm.now).pool.secondsToFinish, 130);
  near(forecast(farm.farm, farm.now).pool.backlogDeviceSeconds, 260);
});

test("what no device can render, or is paused, has no end", () => {
  const farm = learnt(1);
  farm.submit("b1", { spec: { ...testSpec, device: "cuda" } });
  farm.submit("b2", {});
  farm.do({ type: "pause", batch: "b2", cutRunning: false });
  assert.deepEqual([finish(farm, "b1"), finish(farm, "b2")], [null, null]);
  farm.do({ type: "cancel", batch: "b2" });
  assert.equal(forecast(farm.farm, farm.now).batches.has("b2"), false);
});

test("progress shortens what is left, and previews and verdicts count", () => {
  const farm = learnt(1);
  farm.submit("b1", { clips: 1 });
  farm.ask("w0");
  farm.place();
  farm.report("w0", { step: 15 });
  near(finish(farm, "b1"), 5);
  farm.submit("b2", { clips: 2, preview: testPreview });
  near(forecast(farm.farm, farm.now).batches.get("b2")?.deviceSecondsLeft ?? null, 22);
});

test("a batch is late when it will end behind its deadline", () => {
  const farm = learnt(1);
  const late = (id: string) => forecast(farm.farm, farm.now).batches.get(id)?.late;
  farm.submit("b1", { clips: 3, deadlineAt: farm.now + 31_000 });
  farm.submit("b2", { clips: 3, deadlineAt: farm.now + 59_000 });
  assert.deepEqual([late("b1"), late("b2")], [false, true]);
});

test("a tenant's row tells what runs, waits and was used", () => {
  const farm = learnt(1);
  farm.submit("b1", { clips: 3 });
  farm.ask("w0");
  farm.place();
  const row = forecast(farm.farm, farm.now).tenants.get("default");
  assert.deepEqual(row, {
    ...{ running: 1, waiting: 2, weight: 1 },
    ...{ deviceSecondsUsed: 20, backlogDeviceSeconds: 20 },
  });
});
