import assert from "node:assert/strict";
import { test } from "node:test";
import { bestSchedules, costOf, type ReuseCost, solveForClips, stepsText } from "./schedule.js";

/** Numbers of 0 to 1 that are the same in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function randomCost(next: () => number, steps: number): ReuseCost {
  const table = Array.from({ length: (steps + 1) ** 2 }, next);
  return (from, to) => table[from * (steps + 1) + to] ?? Number.NaN;
}

/** All sets of `count` steps with 0 among them. */
function schedulesOf(steps: number, count: number): readonly (readonly number[])[] {
  const all = Array.from({ length: 2 ** (steps - 1) }, (_, bits) => [
    0,
    ...Array.from({ length: steps - 1 }, (_, index) => index + 1).filter(
      (step) => (bits >> (step - 1)) & 1,
    ),
  ]);
  return all.filter((computed) => computed.length === count);
}

test("no schedule costs less than the one found, for any cost and number of steps", () => {
  for (let round = 0; round < 40; round++) {
    const steps = 2 + (round % 7);
    const cost = randomCost(random(round), steps);
    const found = bestSchedules(steps, cost);
    for (let count = 1; count <= steps; count++) {
      const least = Math.min(...schedulesOf(steps, count).map((each) => costOf(each, steps, cost)));
      assert.ok(Math.abs((found[count]?.cost ?? -1) - least) < 1e-12);
      assert.equal(found[count]?.computed.length, count);
      assert.ok(Math.abs(costOf(found[count]?.computed ?? [], steps, cost) - least) < 1e-12);
    }
  }
});

test("spans that are not allowed are kept out, and too few steps are found to be so", () => {
  const cost: ReuseCost = (from, to) => (to - from > 3 ? Number.POSITIVE_INFINITY : 1);
  const found = bestSchedules(10, cost);
  assert.equal(found[3]?.cost, Number.POSITIVE_INFINITY);
  const { computed = [] } = found[4] ?? {};
  assert.equal(computed[0], 0);
  assert.ok(computed.every((step, index) => (computed[index + 1] ?? 10) - step <= 3));
});

test("the mean logarithm is what is lowered: a hard clip does not outweigh the others", () => {
  // Weighted alike the first choice is the best sum; the second one halves the easy clip's cost.
  const choices = [
    [100, 1],
    [101, 0.5],
  ];
  const solve = (weights: readonly number[]) => {
    const sums = choices.map((costs) =>
      costs.reduce((sum, cost, clip) => sum + cost * (weights[clip] ?? 0), 0),
    );
    return sums.indexOf(Math.min(...sums));
  };
  assert.equal(solve([1, 1]), 0);
  assert.equal(
    solveForClips(2, solve, (choice) => choices[choice] ?? []),
    1,
  );
});

test("steps are written as the policies read them", () => {
  assert.equal(stepsText([0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
  assert.equal(stepsText([0]), "0");
});
