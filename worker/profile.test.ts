import assert from "node:assert/strict";
import { test } from "node:test";
import { Profile, type StepEvent } from "./profile.js";

function stepEvent(tokensReused: number, drift: number | null): StepEvent {
  const site = { layer: 0, block: "spatial", module: "mlp", decision: "refresh" } as const;
  const sums = { tokensComputed: 10, tokensReused, seconds: 0.5, flops: 1000 };
  return {
    ...({ type: "step", step: 0, steps: 1, timestep: 999, trunk: "run", seconds: 1 } as const),
    ...{ flops: 1000, flopsNone: 1000 },
    modules: [{ ...site, ...sums, drift, indices: null }],
  };
}

function profileOf(events: readonly StepEvent[], head: { policy: string; firstStep: number }) {
  const profile = new Profile();
  for (const event of events) profile.add(event);
  return JSON.parse(profile.text({ model: "demo", ...head }));
}

test("a row has a value for each column, drift among them", () => {
  const { columns, steps } = profileOf([stepEvent(0, 0.25), stepEvent(0, null)], {
    policy: "none",
    firstStep: 0,
  });
  const drifts = steps.map((step: { modules: unknown[][] }) => {
    assert.equal(step.modules[0]?.length, columns.length);
    return step.modules[0]?.[columns.indexOf("drift")];
  });
  assert.deepEqual(drifts, [0.25, null]);
});

test("a caching policy that reused nothing is warned of, where all steps were seen", () => {
  const warningsOf = (tokensReused: number, policy: string, firstStep = 0) =>
    profileOf([stepEvent(tokensReused, null)], { policy, firstStep }).warnings;
  assert.match(warningsOf(0, "toca")[0], /^policy toca took nothing from its cache/);
  assert.deepEqual(warningsOf(5, "toca"), []);
  assert.deepEqual(warningsOf(0, "none"), []);
  assert.deepEqual(warningsOf(0, "toca", 6), []);
});
