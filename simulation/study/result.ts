// What came of a study, as plain data for a table, a plot or a script.

import { tenantRules } from "../../coordinator/core/rules.js";
import type { World } from "../world.js";
import type { Histogram } from "./histogram.js";
import type { BatchTimes, Measure } from "./measure.js";
import type { Sample } from "./series.js";

export interface WaitFigures {
  readonly tenant: string;
  /** 0 first. */
  readonly tier: number;
  readonly clips: number;
  readonly p50Seconds: number;
  readonly p95Seconds: number;
  readonly maxSeconds: number;
}

export interface TenantFigures {
  readonly tenant: string;
  readonly weight: number;
  readonly deviceSeconds: number;
  /** Of all device-seconds that were used. */
  readonly shareOfDevices: number;
  /** The same while every tenant had something that waited; null = never. */
  readonly shareWhileAllWait: number | null;
  /** Of the weights of all tenants. */
  readonly shareOfWeight: number;
}

export interface BatchFigures {
  readonly batch: string;
  readonly tenant: string;
  readonly tier: number;
  readonly submittedSeconds: number;
  readonly clips: number;
  readonly published: number;
  readonly failed: number;
  /** From submission to end; null = it had not ended. */
  readonly seconds: number | null;
  /** Null = it had none. */
  readonly deadlineMissed: boolean | null;
}

export interface StudyResult {
  readonly name: string;
  readonly seed: number;
  readonly seconds: number;
  readonly devices: number;
  /** Of the devices' time, while their agents were up. */
  readonly utilisation: number;
  readonly tenants: readonly TenantFigures[];
  readonly waits: readonly WaitFigures[];
  readonly batches: readonly BatchFigures[];
  readonly refusedBatches: number;
  readonly deadlines: { readonly kept: number; readonly missed: number };
  readonly attempts: {
    readonly done: number;
    readonly lost: number;
    readonly failed: number;
    readonly withdrawn: number;
    readonly superseded: number;
    readonly resumed: number;
    /** By failure code or reason of the loss. */
    readonly reasons: Readonly<Record<string, number>>;
  };
  readonly work: {
    readonly usedDeviceSeconds: number;
    readonly lostDeviceSeconds: number;
    readonly keptByCheckpointsDeviceSeconds: number;
  };
  readonly failovers: number;
  readonly events: number;
  readonly series: readonly Sample[];
}

export function resultOf(
  { name, seed }: { readonly name: string; readonly seed: number },
  world: World,
  measure: Measure,
): StudyResult {
  const used = [...measure.tenants.values()].reduce((sum, each) => sum + each.deviceSeconds, 0);
  const batches = [...measure.batches.values()].map(batchFigures);
  const { attempts, failures } = measure;
  return {
    name,
    seed,
    seconds: measure.endedMs / 1000,
    devices: world.scenario.agents.reduce((sum, { devices }) => sum + devices.length, 0),
    utilisation: used / measure.deviceSecondsUp,
    tenants: tenantFigures(world, measure, used),
    waits: [...measure.tenants].flatMap(([tenant, { waits }]) =>
      [...waits]
        .sort(([one], [other]) => one - other)
        .map(([tier, histogram]) => waitFigures(tenant, tier, histogram)),
    ),
    batches,
    refusedBatches: world.client.submitted.filter(({ answer }) => answer === "refused").length,
    deadlines: {
      kept: batches.filter(({ deadlineMissed }) => deadlineMissed === false).length,
      missed: batches.filter(({ deadlineMissed }) => deadlineMissed === true).length,
    },
    attempts: {
      ...attempts,
      superseded: world.watch.reports.superseded,
      resumed: measure.resumed,
      reasons: Object.fromEntries([...failures].sort()),
    },
    work: {
      usedDeviceSeconds: used,
      lostDeviceSeconds: measure.lostSeconds,
      keptByCheckpointsDeviceSeconds: measure.keptSeconds,
    },
    failovers: Math.max(0, measure.leaders - 1),
    events: world.ledger.events,
    series: measure.series.samples.filter(({ atMs }) => atMs <= measure.endedMs),
  };
}

function tenantFigures(world: World, measure: Measure, used: number): readonly TenantFigures[] {
  const { rules } = world.scenario;
  const names = [...measure.tenants.keys()];
  const weights = names.map((name) => tenantRules(rules, name).weight);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  let contested = 0;
  for (const { contestedSeconds } of measure.tenants.values()) contested += contestedSeconds;
  return [...measure.tenants].map(([tenant, { deviceSeconds, contestedSeconds }], index) => ({
    tenant,
    weight: weights[index] ?? 0,
    deviceSeconds,
    shareOfDevices: used > 0 ? deviceSeconds / used : 0,
    shareWhileAllWait: contested > 0 ? contestedSeconds / contested : null,
    shareOfWeight: (weights[index] ?? 0) / sum,
  }));
}

function waitFigures(tenant: string, tier: number, waits: Histogram): WaitFigures {
  return {
    tenant,
    tier,
    clips: waits.count,
    p50Seconds: waits.quantile(0.5),
    p95Seconds: waits.quantile(0.95),
    maxSeconds: waits.max,
  };
}

function batchFigures({ batch, submittedMs, endedMs }: BatchTimes): BatchFigures {
  const { accepted, published, ended, priority } = batch;
  const { deadlineAt, at } = accepted;
  const lateMs = deadlineAt === null ? null : (endedMs ?? Number.POSITIVE_INFINITY) - submittedMs;
  return {
    batch: accepted.batch,
    tenant: accepted.tenant,
    tier: priority,
    submittedSeconds: submittedMs / 1000,
    clips: accepted.clips,
    published,
    failed: ended - published,
    seconds: endedMs === null ? null : (endedMs - submittedMs) / 1000,
    deadlineMissed: lateMs === null ? null : lateMs > (deadlineAt ?? at) - at,
  };
}
