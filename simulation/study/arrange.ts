// Makes a world's scenario of a user's study: agents of its devices, batches at their times, faults
// drawn at their rates from the study's seed.

import { FarmError } from "../../common/errors.js";
import { clipsQueuedMax } from "../../coordinator/core/admission.js";
import { defaultRules, type Rules, type TenantRules } from "../../coordinator/core/rules.js";
import { type Random, seededRandom } from "../random.js";
import {
  type AgentSpec,
  type BatchSpec,
  defaultTiming,
  type Incident,
  type Scenario,
} from "../scenario.js";
import type { Study, StudyBatch, StudyDevice, StudyFaults } from "./study.js";

/** FLOP/s of a device of speed 1. */
const unitFlopsPerSecond = 1e14;

const gibibyte = 2 ** 30;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** Virtual time in which all work must be done once the last of it has come. */
const endsWithinMs = 366 * 24 * hourMs;

/** Faults of a study, so that a rate that was mistyped does not fill the memory. */
const faultsMax = 1_000_000;

/** Throws INVALID_ARGUMENT for a study that no farm could do. */
export function arrange(study: Study): Scenario {
  const random = seededRandom(study.seed);
  const agents = study.devices.flatMap((device, index) => agentsOf(device, index, study));
  const submits = study.batches.flatMap((batch) => submitsOf(batch, study, random.fork("clips")));
  checkModels(agents, submits);
  const lastMs = Math.max(...submits.map(({ atMs }) => atMs));
  // Faults may go on for as long as the work could.
  const faultsUntilMs =
    study.hours === undefined ? estimateMs(agents, submits) : study.hours * hourMs;
  const faults =
    study.faults === undefined
      ? []
      : faultsOf(study.faults, { agents, faultsUntilMs, random: random.fork("faults") });
  const incidents = [...submits, ...faults].sort((a, b) => a.atMs - b.atMs);
  const checkpointPeriodMs = 1000 * (study.rules?.checkpointSeconds ?? 10);
  return {
    seed: study.seed,
    coordinators: study.coordinators,
    agents,
    incidents,
    rules: rulesOf(study),
    timing: { ...defaultTiming, checkpointPeriodMs },
    quietAtMs: null,
    endsByMs: lastMs + endsWithinMs,
  };
}

function agentsOf(device: StudyDevice, index: number, study: Study): readonly AgentSpec[] {
  const { kind, count, perAgent, memoryGiB, atMinutes } = device;
  if (device.speed !== undefined && device.flopsPerSecond !== undefined) {
    throw invalid(`devices[${index}] has both speed and flopsPerSecond; give one`);
  }
  const models = device.models ?? [...new Set(study.batches.map(({ model }) => model))];
  const flopsPerSecond = device.flopsPerSecond ?? (device.speed ?? 1) * unitFlopsPerSecond;
  return Array.from({ length: Math.ceil(count / perAgent) }, (_, agent) => ({
    id: `${slug(kind)}-${index}-${agent}`,
    devices: Array.from({ length: Math.min(perAgent, count - agent * perAgent) }, (__, number) => ({
      name: `cuda:${number}`,
      kind,
      memoryBytes: memoryGiB * gibibyte,
      dtype: "bf16",
      flopsPerSecond,
    })),
    models,
    joinsAtMs: atMinutes * minuteMs,
  }));
}

type Submit = Extract<Incident, { readonly do: "submit" }>;

function submitsOf(batch: StudyBatch, { faults }: Study, random: Random): readonly Submit[] {
  const { everyMinutes, times } = batch.repeat ?? { everyMinutes: 0, times: 1 };
  return Array.from({ length: times }, (_, time) => ({
    atMs: (batch.atMinutes + time * everyMinutes) * minuteMs,
    do: "submit" as const,
    batch: batchOf(batch, faults?.badClipShare ?? 0, random),
  }));
}

function batchOf(batch: StudyBatch, badClipShare: number, random: Random): BatchSpec {
  const { tenant, priority, model, clips, segments, steps, memoryGiB, refreshEvery } = batch;
  if ((batch.secondsPerClip === undefined) === (batch.flopsPerClip === undefined)) {
    throw invalid(`a batch of ${tenant} has one of secondsPerClip and flopsPerClip; give just one`);
  }
  const flops = batch.flopsPerClip ?? (batch.secondsPerClip ?? 0) * unitFlopsPerSecond;
  const points = refreshEvery === 0 ? [] : Array.from({ length: steps }, (_, step) => step);
  const previewSteps = Math.max(1, Math.round(steps / 3));
  return {
    tenant,
    priority,
    model,
    device: "",
    clips,
    segments,
    steps,
    flops: flops / segments,
    peakBytes: memoryGiB * gibibyte,
    plannedBytes: memoryGiB * gibibyte,
    refreshPoints: points.filter((step) => step > 0 && step % refreshEvery === 0),
    preview: batch.preview
      ? { steps: previewSteps, flops: flops * batch.preview.cost, refreshPoints: [] }
      : null,
    approveAfterMs: batch.preview ? batch.preview.approveAfterMinutes * minuteMs : null,
    deadlineMs: batch.deadlineMinutes === undefined ? null : batch.deadlineMinutes * minuteMs,
    badClips: Array.from({ length: clips }, (_, clip) => clip).filter(() =>
      random.chance(badClipShare),
    ),
  };
}

function checkModels(agents: readonly AgentSpec[], submits: readonly Submit[]): void {
  const models = new Set(agents.flatMap((agent) => agent.models));
  const missing = submits.find(({ batch }) => !models.has(batch.model));
  if (missing === undefined) return;
  const { tenant, model } = missing.batch;
  throw invalid(`a batch of ${tenant} wants model ${model}, which no device has`);
}

/** Until when the work would last if every device were always busy, and half as long again. */
function estimateMs(agents: readonly AgentSpec[], submits: readonly Submit[]): number {
  const devices = agents.flatMap((agent) => agent.devices);
  const speed = devices.reduce((sum, device) => sum + device.flopsPerSecond, 0);
  const flops = submits.reduce(
    (sum, { batch }) =>
      sum + batch.clips * (batch.segments * batch.flops + (batch.preview?.flops ?? 0)),
    0,
  );
  const lastMs = Math.max(...submits.map(({ atMs }) => atMs));
  return lastMs + (1500 * flops) / speed + minuteMs;
}

function rulesOf({ tenants, rules }: Study): Rules {
  const { tenantDefault, preemption } = defaultRules;
  const own: Record<string, TenantRules> = {};
  for (const [name, { weight, devicesMax, clipsQueuedMax: queued }] of Object.entries(tenants)) {
    own[name] = {
      ...tenantDefault,
      weight,
      devicesMax: devicesMax ?? tenantDefault.devicesMax,
      clipsQueuedMax: queued ?? clipsQueuedMax,
    };
  }
  return {
    ...defaultRules,
    tenants: own,
    leaseMs: rules?.leaseSeconds === undefined ? defaultRules.leaseMs : rules.leaseSeconds * 1000,
    tierRaiseMs:
      rules?.tierRaiseMinutes === undefined
        ? defaultRules.tierRaiseMs
        : rules.tierRaiseMinutes * minuteMs,
    preemption: { ...preemption, enabled: rules?.preemption ?? preemption.enabled },
  };
}

interface FaultyFarm {
  readonly agents: readonly AgentSpec[];
  readonly faultsUntilMs: number;
  readonly random: Random;
}

function faultsOf(faults: StudyFaults, farm: FaultyFarm): readonly Incident[] {
  const { agents, faultsUntilMs, random } = farm;
  const incidents: Incident[] = [];
  /** Adds what `make` makes, at a rate for each of `count` that may suffer it. */
  const strike = (
    perHour: number,
    count: number,
    make: (atMs: number, who: number) => Incident,
  ) => {
    if (perHour === 0) return;
    const gapMs = hourMs / perHour / count;
    for (let atMs = random.exponential(gapMs); atMs < faultsUntilMs; ) {
      incidents.push(make(atMs, random.below(count)));
      if (incidents.length > faultsMax) throw invalid(`faults has more than ${faultsMax} of them`);
      atMs += random.exponential(gapMs);
    }
  };
  const devices = agents.flatMap((agent, index) =>
    agent.devices.map((_, device) => ({ agent: index, device })),
  );
  const forMs = faults.downMinutes * minuteMs;
  strike(faults.agentCrashesPerHour, agents.length, (atMs, agent) => {
    return { atMs, do: "crash_agent", agent, forMs };
  });
  strike(faults.engineCrashesPerHour, devices.length, (atMs, who) => {
    return { atMs, do: "crash_engine", ...(devices[who] ?? { agent: 0, device: 0 }) };
  });
  strike(faults.partitionsPerHour, agents.length, (atMs, agent) => {
    return { atMs, do: "partition", agent, way: "both", forMs };
  });
  strike(faults.leaderCrashesPerHour, 1, (atMs) => {
    return { atMs, do: "crash_leader", forMs };
  });
  for (const where of devices) {
    if (!random.chance(faults.slowShare)) continue;
    incidents.push({ atMs: 0, do: "slow_device", ...where, factor: 2, forMs: faultsUntilMs });
  }
  return incidents;
}

function slug(kind: string): string {
  return kind.replace(/[^A-Za-z0-9]+/g, "-").toLowerCase();
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
