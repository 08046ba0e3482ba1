// Small worlds from seeds. Each seed chooses for itself what may go wrong in its world and how
// often, so that some worlds are calm but for one kind of fault, and some have everything at once.

import { defaultRules, type Rules, type TenantRules } from "../coordinator/core/rules.js";
import { type Random, seededRandom } from "./random.js";
import {
  type AgentSpec,
  type BatchSpec,
  type DeviceSpec,
  defaultTiming,
  type Incident,
  type Scenario,
} from "./scenario.js";

const gigabyte = 1e9;

// Slower than real ones, and so near to what the core assumes of a kind that it has not seen yet:
// then what hangs there is noticed in minutes, not hours.
const chips = [
  { chip: "cpu-avx2", memoryBytes: 32 * gigabyte, flopsPerSecond: 8e10, backend: "cpu" },
  { chip: "gpu-small", memoryBytes: 12 * gigabyte, flopsPerSecond: 2e11, backend: "cuda" },
  { chip: "gpu-large", memoryBytes: 80 * gigabyte, flopsPerSecond: 1e12, backend: "cuda" },
] as const;

type Chip = (typeof chips)[number];

const tenantNames = ["a", "b", "c"] as const;
const models = ["first", "second"] as const;

/** Incidents of a world, at most. */
const incidentsMax = 40;

/** The world of a seed. */
export function generate(seed: number | string): Scenario {
  const random = seededRandom(seed).fork("generate");
  const quietAtMs = Math.floor(random.between(30_000, 400_000));
  const agents = makeAgents(random);
  const submits = makeSubmits(random, agents, quietAtMs);
  const faults = makeIncidents(random, quietAtMs);
  const incidents = [...submits, ...faults].sort((a, b) => a.atMs - b.atMs);
  const timing = {
    ...defaultTiming,
    linkMs: random.pick([0.2, 2, 50]),
    appendMs: random.pick([0.5, 2, 20]),
    checkpointPeriodMs: random.pick([0, 2_000, 10_000]),
    loadMs: random.pick([500, 5_000]),
    graceMs: random.pick([1_000, 20_000]),
  };
  const endsByMs = quietAtMs + boundMs(agents, submits);
  const coordinators = 1 + random.below(3);
  const rules = makeRules(random);
  return {
    seed,
    coordinators,
    agents,
    incidents,
    rules,
    timing,
    quietAtMs,

    endsByMs,
  };
}

/**
 * Every clip on the slowest device, one after the other, four times over, and the longest waits.
 */
function boundMs(agents: readonly AgentSpec[], submits: readonly Submit[]): number {
  const speeds = agents.flatMap(({ devices }) => devices.map((device) => device.flopsPerSecond));
  const flops = submits.map(({ batch }) => {
    const { clips, segments, preview } = batch;
    return clips * (segments * batch.flops + (preview?.flops ?? 0));
  });
  const seconds = flops.reduce((sum, each) => sum + each, 0) / Math.min(...speeds);
  return 4 * 1000 * seconds + 3_600_000;
}

function makeAgents(random: Random): readonly AgentSpec[] {
  const count = 2 + random.below(4);
  return Array.from({ length: count }, (_, index) => {
    const chip = random.pick(chips);
    const devices = chip.backend === "cpu" ? 1 : random.pick([1, 1, 2, 3, 8]);
    return {
      id: `w${index}`,
      devices: Array.from({ length: devices }, (__, number) => makeDevice(random, chip, number)),
      // The first one has every model, so that somebody can render each batch.
      models: index === 0 || random.chance(0.7) ? [...models] : [random.pick(models)],
      joinsAtMs: random.chance(0.8) ? random.below(5_000) : random.below(60_000),
    };
  });
}

function makeDevice(random: Random, chip: Chip, number: number): DeviceSpec {
  const { chip: kind, memoryBytes, flopsPerSecond, backend } = chip;
  return {
    name: backend === "cpu" ? "cpu" : `cuda:${number}`,
    kind,
    memoryBytes,
    dtype: backend === "cpu" ? "fp32" : "bf16",
    // No two cards are quite alike.
    flopsPerSecond: flopsPerSecond * random.between(0.85, 1.15),
  };
}

type Submit = Extract<Incident, { readonly do: "submit" }>;

function makeSubmits(
  random: Random,
  agents: readonly AgentSpec[],
  quietAtMs: number,
): readonly Submit[] {
  return Array.from({ length: 1 + random.below(6) }, () => ({
    atMs: random.chance(0.5) ? random.below(2_000) : random.below(quietAtMs),
    do: "submit" as const,
    batch: makeBatch(random, agents),
  }));
}

function makeBatch(random: Random, agents: readonly AgentSpec[]): BatchSpec {
  const clips = 1 + random.below(random.pick([4, 12, 30]));
  const steps = random.pick([4, 10, 30]);
  const speeds = agents.flatMap(({ devices }) => devices.map((device) => device.flopsPerSecond));
  const flops = random.pick(speeds) * random.between(0.5, 20);
  const points = random.pick([
    [],
    [1, 2, 6, 12, 18, 24],
    Array.from({ length: 40 }, (_, i) => i + 1),
  ]);
  const refreshPoints = points.filter((step) => step < steps);
  const peakBytes = random.pick([2, 10, 20]) * gigabyte;
  const first = agents[0]?.devices[0]?.name.split(":")[0] ?? "";
  return {
    tenant: random.pick(tenantNames),
    priority: random.below(5),
    model: random.pick(models),
    device: random.chance(0.1) ? first : "",
    clips,
    segments: random.pick([1, 1, 1, 3]),
    steps,
    flops,
    peakBytes,
    plannedBytes: random.chance(0.5) ? peakBytes : peakBytes / 2,
    refreshPoints,
    preview: random.chance(0.2) ? { steps: 4, flops: flops / 10, refreshPoints: [] } : null,
    approveAfterMs: random.chance(0.5) ? random.below(60_000) : null,
    deadlineMs: random.chance(0.3) ? random.below(600_000) : null,
    badClips: random.chance(0.1) ? [random.below(clips)] : [],
  };
}

function makeRules(random: Random): Rules {
  const tenants: Record<string, TenantRules> = {};
  for (const name of tenantNames) {
    const devicesMax = random.chance(0.3) ? 1 + random.below(3) : 10_000;
    tenants[name] = { ...defaultRules.tenantDefault, weight: 1 + random.below(4), devicesMax };
  }
  return {
    ...defaultRules,
    leaseMs: random.pick([4_000, 10_000]),
    tenants,
    tierRaiseMs: random.pick([0, 30_000, 900_000]),
    quarantine: {
      ...defaultRules.quarantine,
      failuresMax: random.pick([2, 3]),
      backoffMs: 2_000,
      backoffMsMax: 20_000,
      canaryMs: 30_000,
    },
    stuck: { ...defaultRules.stuck, floorMs: 30_000 },
    preemption: { enabled: random.chance(0.7), waitMs: random.pick([0, 2_000]) },
  };
}

// ---- what happens

type Make = (random: Random, longestMs: number) => Undated;

/** An incident without its time; distributive, so that the union stays one. */
type Undated = Incident extends infer Each
  ? Each extends Incident
    ? Omit<Each, "atMs">
    : never
  : never;

/** Mostly seconds, sometimes minutes. */
function spanMs(random: Random, longestMs: number): number {
  return Math.floor(Math.min(longestMs, random.exponential(random.pick([500, 5_000, 40_000]))));
}

const any = 1_000;
const someone = (random: Random) => ({ agent: random.below(any), device: random.below(any) });
const clipsOf = (random: Random) => ({
  batch: random.below(any),
  first: random.below(any),
  count: random.pick([1, 1, 3, any]),
});

const makers: readonly Make[] = [
  (random) => ({ do: "cancel", batch: random.below(any) }),
  (random) => ({ do: random.pick(["pause", "pause_cut"] as const), batch: random.below(any) }),
  (random) => ({ do: "resume", batch: random.below(any) }),
  (random) => ({ do: "set_priority", batch: random.below(any), priority: random.below(5) }),
  (random) => ({
    do: "move",
    batch: random.below(any),
    place: random.pick(["first", "last"] as const),
  }),
  (random) => ({ do: "retry", ...clipsOf(random) }),
  (random) => ({ do: "skip", ...clipsOf(random) }),
  (random) => ({ do: "promote", ...clipsOf(random) }),
  (random) => ({ do: "approve", ...clipsOf(random) }),
  (random) => ({ do: "reject", ...clipsOf(random) }),
  (random) => ({
    do: random.pick(["drain_worker", "undrain_worker"] as const),
    agent: random.below(any),
  }),
  (random) => ({ do: "release_device", ...someone(random) }),
  (random, max) => ({ do: "crash_agent", agent: random.below(any), forMs: spanMs(random, max) }),
  (random, max) => ({ do: "stop_agent", agent: random.below(any), forMs: spanMs(random, max) }),
  (random, max) => ({ do: "freeze_agent", agent: random.below(any), forMs: spanMs(random, max) }),
  (random) => ({ do: "crash_engine", ...someone(random) }),
  (random) => ({ do: "hang_engine", ...someone(random) }),
  (random, max) => ({
    do: "slow_device",
    ...someone(random),
    factor: random.pick([2, 20]),
    forMs: spanMs(random, max),
  }),
  (random, max) => ({
    do: "break_device",
    ...someone(random),
    canary: random.pick(["fails", "differs"] as const),
    forMs: Math.min(max, 10 * spanMs(random, max)),
  }),
  (random) => ({ do: "damage_checkpoints", agent: random.below(any), count: 1 + random.below(2) }),
  (random, max) => ({ do: "break_store", agent: random.below(any), forMs: spanMs(random, max) }),
  (random) => ({ do: "reset_link", agent: random.below(any) }),
  (random, max) => ({
    do: "partition",
    agent: random.below(any),
    way: random.pick(["both", "up", "down"] as const),
    forMs: spanMs(random, max),
  }),
  (random) => ({ do: "repeat_reports", agent: random.below(any), count: 1 + random.below(8) }),
  (random, max) => ({
    do: random.pick(["crash_coordinator", "freeze_coordinator", "cut_off_coordinator"] as const),
    coordinator: random.below(any),
    forMs: spanMs(random, max),
  }),
  (random) => ({ do: "lose_append", written: random.chance(0.5) }),
  (random) => ({
    do: "step_clock",
    coordinator: random.below(any),
    byMs: Math.floor(random.between(-3_600_000, 3_600_000)),
  }),
];

function makeIncidents(random: Random, quietAtMs: number): readonly Incident[] {
  const share = random.pick([0.1, 0.3, 1]);
  const chosen = makers.filter(() => random.chance(share));
  if (chosen.length === 0) return [];
  return Array.from({ length: random.below(incidentsMax) }, () => {
    const atMs = random.below(quietAtMs);
    return { atMs, ...random.pick(chosen)(random, quietAtMs - atMs) };
  });
}
