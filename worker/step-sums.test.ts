import assert from "node:assert/strict";
import { test } from "node:test";
import type { StepEvent } from "./profile.js";
import { StepSums } from "./step-sums.js";

function stepEvent(step: number): StepEvent {
  const common = {
    layer: 0,
    module: "mlp",
    decision: "partial",
    seconds: 0.5,
    drift: null,
    indices: null,
  } as const;
  const tokens = { tokensComputed: 10, tokensReused: 90, flops: 1000 };
  return {
    type: "step",
    step,
    steps: 30,
    timestep: 1000 - step,
    trunk: "run",
    seconds: 2,
    flops: 2000,
    flopsNone: 5000,
    modules: [
      { ...common, ...tokens, block: "spatial" },
      { ...common, ...tokens, block: "temporal" },
    ],
  };
}

test("steps are summed for each module until they are taken", () => {
  const sums = new StepSums();
  sums.add(stepEvent(0));
  sums.add(stepEvent(1));
  const { modules, ...message } = sums.take() ?? { modules: [] };
  assert.deepEqual(message, {
    type: "steps",
    step: 2,
    steps: 30,
    stepSeconds: [2, 2],
    flops: 4000,
    flopsNone: 10_000,
  });
  assert.equal(modules.length, 2);
  assert.deepEqual(modules[1], {
    layer: 0,
    block: "temporal",
    module: "mlp",
    calls: 2,
    tokensComputed: 20,
    tokensReused: 180,
    seconds: 1,
    flops: 2000,
    drift: null,
  });
});

test("the drift that is told is that of the newest refresh", () => {
  const sums = new StepSums();
  const withDrift = (step: number, drift: number | null): StepEvent => {
    const event = stepEvent(step);
    return { ...event, modules: event.modules.map((module) => ({ ...module, drift })) };
  };
  sums.add(withDrift(3, 0.25));
  sums.add(withDrift(6, 0.125));
  sums.add(withDrift(7, null));
  assert.equal(sums.take()?.modules[0]?.drift, 0.125);
  sums.add(withDrift(8, null));
  assert.equal(sums.take()?.modules[0]?.drift, null);
});

test("what was taken is not said again", () => {
  const sums = new StepSums();
  sums.add(stepEvent(0));
  sums.take();
  assert.equal(sums.take(), undefined);
  sums.add(stepEvent(1));
  const next = sums.take();
  assert.equal(next?.step, 2);
  assert.equal(next?.flops, 2000);
  assert.equal(next?.modules[0]?.calls, 1);
});
