import assert from "node:assert/strict";
import { test } from "node:test";
import { Violation } from "./checkers/violation.js";
import { generate } from "./generate.js";
import type { Incident, Scenario } from "./scenario.js";
import { shrink } from "./shrink.js";

const noise: readonly Incident[] = Array.from({ length: 40 }, (_, atMs) => ({
  atMs,
  do: "reset_link",
  agent: atMs,
}));
const guilty: readonly Incident[] = [
  { atMs: 11, do: "lose_append", written: true },
  { atMs: 30, do: "step_clock", coordinator: 0, byMs: 5 },
];
const both = [...noise, ...guilty].sort((a, b) => a.atMs - b.atMs);

/** Fails just when both of the guilty incidents are there. */
function run({ incidents }: Scenario): Violation | null {
  const all = guilty.every((one) => incidents.includes(one));
  return all ? new Violation("it works", "it does not") : null;
}

test("what a failure does not need is left out", () => {
  const scenario = { ...generate(1), incidents: both };
  const shrunk = shrink(scenario, new Violation("it works", ""), { run, runsMax: 500 });
  assert.deepEqual(shrunk.scenario.incidents, guilty);
  assert.equal(shrunk.scenario.coordinators, 1);
  const present = shrunk.scenario.agents.filter(({ joinsAtMs }) => Number.isFinite(joinsAtMs));
  assert.equal(present.length, 1);
});

test("another failure than the one in question is no reason to leave anything out", () => {
  const scenario = { ...generate(1), incidents: both };
  const other = () => new Violation("something else", "");
  const violation = new Violation("it works", "");
  const shrunk = shrink(scenario, violation, { run: other, runsMax: 500 });
  assert.deepEqual(shrunk.scenario.incidents, both);
  assert.equal(shrunk.violation, violation);
});
