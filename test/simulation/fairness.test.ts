// Weighted fair shares within a tier: farms of equal devices, tenants with weights, clips of
// unequal lengths, and faults. While two tenants both have something ready, what they are served
// stays as close to their weights as start-time fair queueing promises.

import assert from "node:assert/strict";
import { test } from "node:test";
import { handle } from "../../coordinator/core/farm.js";
import { defaultRules } from "../../coordinator/core/rules.js";
import { violationOf } from "../../simulation/check.js";
import { Fairness } from "../../simulation/checkers/fairness.js";
import type { Handle } from "../../simulation/leader.js";
import { type Random, seededRandom } from "../../simulation/random.js";
import { defaultTiming, type Incident, type Scenario } from "../../simulation/scenario.js";
import { World } from "../../simulation/world.js";

const names = ["a", "b", "c", "d"];
const flopsPerSecond = 1e12;
const devicesPerAgent = 2;

/** A farm of one kind of device, and tenants who have more to do than it can take at once. */
function fairScenario(seed: number): Scenario {
  const random = seededRandom(seed);
  const agents = Array.from({ length: 1 + random.below(4) }, (_, index) => ({
    id: `w${index}`,
    devices: Array.from({ length: devicesPerAgent }, (__, number) => ({
      ...{ name: `cuda:${number}`, kind: "gpu", memoryBytes: 8e10, dtype: "bf16" },
      flopsPerSecond,
    })),
    models: ["model"],
    joinsAtMs: 0,
  }));
  const weights = names.map((name) => [name, 1 + random.below(4)] as const);
  const tenants = Object.fromEntries(
    weights.map(([name, weight]) => [name, { ...defaultRules.tenantDefault, weight }]),
  );
  const incidents = [
    ...names.flatMap((tenant) => submits(random, tenant)),
    ...crashes(random, agents.length),
  ].sort((one, other) => one.atMs - other.atMs);
  const quietAtMs = 600_000;
  return {
    ...{ seed, coordinators: 2, agents, incidents, quietAtMs, endsByMs: 20 * 3_600_000 },
    rules: { ...defaultRules, tenants, tierRaiseMs: 0 },
    timing: { ...defaultTiming, loadMs: 0, textEncodeMs: 0, tailShare: 0 },
  };
}

function submits(random: Random, tenant: string): readonly Incident[] {
  return Array.from({ length: 1 + random.below(3) }, () => ({
    atMs: random.below(120_000),
    do: "submit" as const,
    batch: {
      ...{ tenant, priority: 2, model: "model", device: "", clips: 20 + random.below(60) },
      ...{ segments: 1, steps: 10, flops: flopsPerSecond * random.between(2, 20) },
      ...{ peakBytes: 1e9, plannedBytes: 1e9, refreshPoints: [], preview: null },
      ...{ approveAfterMs: null, deadlineMs: null, badClips: [] },
    },
  }));
}

function crashes(random: Random, agents: number): readonly Incident[] {
  return Array.from({ length: random.below(6) }, () => {
    const [atMs, agent] = [random.below(600_000), random.below(agents)];
    return random.chance(0.5)
      ? { atMs, do: "crash_agent" as const, agent, forMs: random.below(30_000) }
      : { atMs, do: "crash_leader" as const, forMs: random.below(20_000) };
  });
}

const seeds = process.env["TOCAFARM_TEST_LONG"] === "1" ? 500 : 25;

function fairWorld(
  seed: number,
  wrong?: Handle,
): { readonly world: World; readonly fair: Fairness } {
  const scenario = fairScenario(seed);
  const world = new World(scenario, {
    ...{ checkEvery: 100, lookMs: 5_000, snapshotMs: 600_000, cutLog: false },
    ...(wrong ? { handle: wrong } : {}),
  });
  const { ledger } = world;
  const devices = scenario.agents.length * devicesPerAgent;
  const fair = new Fairness({ ledger, rules: scenario.rules, devices });
  ledger.listeners.push(fair);
  return { world, fair };
}

test(`tenants of a tier are served by their weights in ${seeds} farms`, (t) => {
  let widest = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const { world, fair } = fairWorld(seed);
    const violation = violationOf(() => world.run());
    assert.equal(violation, null, `seed ${seed}: ${violation?.message}`);
    widest = Math.max(widest, fair.widest);
  }
  t.diagnostic(`the farthest apart was ${(100 * widest).toFixed(0)} % of what is allowed`);
});

test("it is seen when weights are forgotten", () => {
  const equal: Handle = (farm, command, now, sequence) =>
    handle({ ...farm, rules: { ...farm.rules, tenants: {} } }, command, now, sequence);
  const seen = Array.from({ length: seeds }, (_, seed) => {
    const { world } = fairWorld(seed, weighedAsConfigured(equal));
    return violationOf(() => world.run())?.promise;
  });
  assert.ok(seen.includes("tenants of a tier are served by their weights"));
});

/** The core takes all for equal, and writes down the weights that were configured. */
function weighedAsConfigured(wrong: Handle): Handle {
  return (farm, command, now, sequence) => {
    const decision = wrong(farm, command, now, sequence);
    const events = decision.events.map((event) => {
      if (event.type !== "LeaseGranted") return event;
      const tenant = farm.state.batches.get(event.batch)?.tenant ?? "";
      const { weight } = farm.rules.tenants[tenant] ?? farm.rules.tenantDefault;
      return { ...event, weight };
    });
    return { ...decision, events };
  };
}
