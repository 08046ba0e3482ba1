import assert from "node:assert/strict";
import { test } from "node:test";
import type { StepRecord } from "../../engine/engine.js";
import type { Block, Module, PlannedStep } from "../../engine/plan.js";
import { moduleCandidates, trunkCandidates } from "./candidates.js";
import { trunkSchedule } from "./trunk-schedule.js";

const steps = 12;
const depth = 9;
const kinds: readonly (readonly [Block, Module])[] = [
  ["spatial", "self_attention"],
  ["temporal", "mlp"],
];
const agesMax = 6;

/** Everything changes evenly, but what lies at `early` changes in the first half alone. */
function clip(early: (layer: number, module: Module) => boolean): readonly StepRecord[] {
  return Array.from({ length: steps }, (_, step) => {
    const ages = Array.from({ length: Math.min(step, agesMax) }, (_, index) => index + 1);
    const sites = Array.from({ length: depth }, (_, layer) =>
      kinds.map(([block, module]) => ({ layer, block, module })),
    ).flat();
    return {
      ...{ step, timestep: 0, stream: 1, output: step === 0 ? 0 : 2, trunk: ages },
      modules: sites.map((site) => {
        const still = early(site.layer, site.module) && step > steps / 2;
        return { ...site, changes: ages.map((age) => (still ? 0 : age)) };
      }),
    };
  });
}

const even = clip(() => false);

/** The module of a spatial block costs three times as much as the other. */
const planned: PlannedStep = {
  ...{ step: 0, timestep: 0, refreshPoint: true, trunk: "run", runShare: 1 },
  flops: depth * 4,
  modules:
    even[0]?.modules.map(({ layer, block, module }) => ({
      ...{ layer, block, module, decision: "refresh" as const, tokens: 1 },
      flops: block === "spatial" ? 3 : 1,
    })) ?? [],
};

interface Rule {
  readonly place: string;
  readonly layers: number;
  readonly computed: readonly number[];
}

function rulesOf(text: string): readonly Rule[] {
  return text.split(";").map((rule) => {
    const [, place = "", from = "", to = from, list = ""] =
      /^([a-z_.]+)@(\d+)(?:-(\d+))?=([\d,-]+)$/.exec(rule) ?? [];
    const computed = list.split(",").flatMap((run) => {
      const [first = 0, last = first] = run.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
    return { place, layers: Number(to || from) - Number(from) + 1, computed };
  });
}

test("where everything changes alike, evenly spaced steps are the best ones", () => {
  assert.deepEqual(trunkSchedule([even], 4, "squares"), [0, 3, 6, 9]);
  assert.deepEqual(trunkSchedule([even, even], 6, "sum"), [0, 2, 4, 6, 8, 10]);
});

test("steps that matter are computed", () => {
  const late = even.map((step) => (step.step < 8 ? step : { ...step, output: 20 }));
  assert.deepEqual(trunkSchedule([late], 6, "squares"), [0, 4, 8, 9, 10, 11]);
});

test("a budget below what was recorded is refused with the least", () => {
  assert.throws(() => trunkSchedule([even], 1, "sum"), /1 steps is too small for 12: at least 2 /);
});

test("all candidates for the trunk have the budget's steps, the evenly spaced one first", () => {
  const candidates = trunkCandidates([even], { share: 0.5, steps: 6 });
  assert.equal(candidates[0]?.name, "evenly spaced");
  assert.equal(candidates[0]?.policy.options["compute"], "0,2,4,6,8,10");
  assert.deepEqual(
    candidates.map(({ policy }) => policy.options["for_steps"]),
    candidates.map(() => "12"),
  );
  const texts = candidates.map(({ policy }) => policy.options["compute"]);
  assert.equal(new Set(texts).size, texts.length);
});

test("modules share no more than the budget, and none is refreshed while it stands still", () => {
  const record = clip((layer, module) => module === "mlp" && layer < 4);
  const share = 0.4;
  const apart = moduleCandidates([record], { share, steps: 4 }, planned).at(-1);
  assert.equal(apart?.name, "each module apart");
  const rules = rulesOf(apart?.policy.options["refresh"] ?? "");
  // Nine layers make seven bands of one or two.
  assert.equal(rules.length, 14);
  assert.equal(
    rules.reduce((sum, { layers }) => sum + layers, 0),
    2 * depth,
  );
  const flops = rules.reduce(
    (sum, { place, layers, computed }) =>
      sum + computed.length * layers * (place.startsWith("spatial") ? 3 : 1),
    0,
  );
  const allowed = share * steps * planned.flops;
  assert.ok(flops <= allowed && flops > 0.9 * allowed, `${flops} of ${allowed}`);
  const still = rules.filter(({ place }) => place === "temporal.mlp").slice(0, 2);
  for (const { computed } of still) {
    assert.ok(computed.filter((step) => step > steps / 2 + 1).length <= 1, computed.join());
  }
  for (const { computed } of rules) assert.equal(computed[0], 0);
});
