// How much is left to render, and how long that will take: tiers one after the other, within a tier
// tenants side by side by weight, a tenant's batches one after the other, all as a fluid over the
// devices that are there. It looks at batches, leases and devices, never at clips, so it stays
// cheap however much waits. An estimate: it knows no failures, and no device that is yet to come.

import { canRender, type DeviceGroup } from "./devices.js";
import type { Known } from "./liveness.js";
import { tenantRules } from "./rules.js";
import { type Batch, clipsQueued, type State } from "./state.js";
import { assumedFlopsPerSecond, planOf, speedOf, stepsOf } from "./work.js";
import { effectiveTier } from "./work-queue.js";

export interface BatchForecast {
  /** Of all that has not ended, verdicts assumed good. */
  readonly deviceSecondsLeft: number;
  /** Null while it is paused, or no device is there that can render it. */
  readonly secondsToFinish: number | null;
  /** It will not meet its deadline, or has not. */
  readonly late: boolean;
}

export interface TenantForecast {
  /** Clips. */
  readonly running: number;
  readonly waiting: number;
  /** As charged, since the log's beginning. */
  readonly deviceSecondsUsed: number;
  /** Of what waits. */
  readonly backlogDeviceSeconds: number;
  readonly weight: number;
}

export interface Forecast {
  /** Of unfinished batches, by id. */
  readonly batches: ReadonlyMap<string, BatchForecast>;
  readonly pool: {
    readonly backlogDeviceSeconds: number;
    /** Of everything that can be rendered; null when that is nothing. */
    readonly secondsToFinish: number | null;
  };
  /** Tenants that have something unfinished or used something, by name. */
  readonly tenants: ReadonlyMap<string, TenantForecast>;
}

/** What is left of a batch, in seconds of its mean device. */
interface Load {
  readonly batch: Batch;
  readonly tier: number;
  readonly left: number;
  readonly waiting: number;
  /** The longest that has to be done one after the other. */
  readonly chain: number;
  /** Devices that can render it. */
  readonly devices: number;
  readonly groups: readonly DeviceGroup[];
}

/** What one device of a group does for a batch. */
interface Fleet {
  readonly group: DeviceGroup;
  readonly devices: number;
}

export function forecast(known: Known, now: number): Forecast {
  const { state, live } = known;
  const fleets = [...live.groups.values()].map((group) => ({ group, devices: working(group) }));
  const running = leasedWork(known);
  const loads: Load[] = [];
  for (const batch of state.unfinished.values()) {
    loads.push(loadOf(known, batch, { fleets, running: running.get(batch.id), now }));
  }
  const finish = new Map<string, number>();
  for (const pool of pools(loads.filter(({ batch, devices }) => !batch.paused && devices > 0))) {
    const devices = devicesOf(pool, fleets);
    for (const [id, seconds] of finishTimes(known, pool, devices)) finish.set(id, seconds);
  }
  const batches = new Map(
    loads.map(({ batch, left }) => {
      const seconds = finish.get(batch.id) ?? null;
      const endsAt = now + 1000 * (seconds ?? 0);
      const late = batch.deadlineAt !== null && endsAt > batch.deadlineAt;
      return [batch.id, { deviceSecondsLeft: left, secondsToFinish: seconds, late }];
    }),
  );
  let last: number | null = null;
  for (const seconds of finish.values()) last = Math.max(last ?? 0, seconds);
  const backlogDeviceSeconds = loads.reduce((sum, { waiting }) => sum + waiting, 0);
  return {
    batches,
    pool: { backlogDeviceSeconds, secondsToFinish: last },
    tenants: tenantsOf(known, loads),
  };
}

function working({ able }: DeviceGroup): number {
  return able.items.reduce((sum, { quarantined }) => sum + (quarantined ? 0 : 1), 0);
}

interface LeasedWork {
  /** FLOPs of the previews and segments in work, as if none had begun. */
  whole: number;
  left: number;
}

/** What is in work, by batch. */
function leasedWork({ state, live }: Known): ReadonlyMap<string, LeasedWork> {
  const works = new Map<string, LeasedWork>();
  for (const [key, lease] of state.leases) {
    const batch = state.batches.get(lease.batch);
    if (!batch) continue;
    const work = works.get(batch.id) ?? { whole: 0, left: 0 };
    const { flops } = planOf(batch, lease.preview);
    const step = Math.max(lease.resumeStep, live.leases.get(key)?.step ?? 0);
    const undone = 1 - step / Math.max(1, stepsOf(batch, lease.preview));
    work.whole += flops;
    work.left += flops * Math.max(0, undone);
    works.set(batch.id, work);
  }
  return works;
}

function loadOf(
  known: Known,
  batch: Batch,
  {
    fleets,
    running,
    now,
  }: {
    readonly fleets: readonly Fleet[];
    readonly running: LeasedWork | undefined;
    readonly now: number;
  },
): Load {
  const { spec, weightsDigest, plan, preview, segments, previewsLeft, segmentsLeft } = batch;
  const needs = { ...spec, weightsDigest };
  const own = fleets.filter(({ group, devices }) => devices > 0 && canRender(group, needs));
  const devices = own.reduce((sum, fleet) => sum + fleet.devices, 0);
  const speed = meanSpeed(known.state, spec.model, own);
  const previewFlops = preview?.plan.flops ?? 0;
  const whole = previewsLeft * previewFlops + segmentsLeft * plan.flops;
  const waiting = Math.max(0, whole - (running?.whole ?? 0));
  const clipFlops = (previewsLeft > 0 ? previewFlops : 0) + segments * plan.flops;
  const onlyRunning = clipsQueued(batch) + batch.clipsAwaitingApproval === 0;
  const left = waiting + (running?.left ?? 0);
  // Without the progress of each clip: what still waits has a whole clip before it.
  const chain = onlyRunning ? left / Math.max(1, batch.leased.size) : clipFlops;
  return {
    batch,
    tier: effectiveTier(batch, known.rules, now),
    left: left / speed,
    waiting: waiting / speed,
    chain: Math.min(left, chain) / speed,
    devices,
    groups: own.map(({ group }) => group),
  };
}

/** Of the devices that are there; of all kinds that were ever learnt while none is. */
function meanSpeed(state: State, model: string, fleets: readonly Fleet[]): number {
  let devices = 0;
  let speeds = 0;
  for (const { group, devices: count } of fleets) {
    devices += count;
    speeds += count * speedOf(state, group.kind, model);
  }
  if (devices > 0) return speeds / devices;
  const learnt = [...state.speeds.values()];
  if (learnt.length === 0) return assumedFlopsPerSecond;
  return learnt.reduce((sum, speed) => sum + speed, 0) / learnt.length;
}

/** Loads that share devices, directly or through others. */
function pools(loads: readonly Load[]): Iterable<readonly Load[]> {
  const joined = new Map<DeviceGroup, DeviceGroup>();
  const rootOf = (group: DeviceGroup): DeviceGroup => {
    let root = group;
    for (let next = joined.get(root); next && next !== root; next = joined.get(root)) root = next;
    joined.set(group, root); // so that the way is short the next time
    return root;
  };
  for (const { groups } of loads) {
    const [first, ...others] = groups;
    for (const other of others) if (first) joined.set(rootOf(other), rootOf(first));
  }
  const byRoot = new Map<DeviceGroup | undefined, Load[]>();
  for (const load of loads) {
    const [first] = load.groups;
    const root = first && rootOf(first);
    const pool = byRoot.get(root);
    if (pool) pool.push(load);
    else byRoot.set(root, [load]);
  }
  return byRoot.values();
}

function devicesOf(pool: readonly Load[], fleets: readonly Fleet[]): number {
  const groups = new Set(pool.flatMap((load) => load.groups));
  let devices = 0;
  for (const fleet of fleets) if (groups.has(fleet.group)) devices += fleet.devices;
  return devices;
}

/** Seconds until each batch of a pool is done. */
function* finishTimes(
  known: Known,
  pool: readonly Load[],
  devices: number,
): Generator<readonly [string, number]> {
  let begin = 0; // of the tier: better ones come first
  for (const tier of [...new Set(pool.map((load) => load.tier))].sort((a, b) => a - b)) {
    const loads = pool.filter((load) => load.tier === tier).sort(inOrder);
    const ends = sharedEnds(known, loads, devices);
    for (const load of loads) {
      const shared = begin + (ends.get(load) ?? 0);
      yield [load.batch.id, Math.max(shared, load.left / load.devices, load.chain)];
    }
    begin += loads.reduce((sum, { left }) => sum + left, 0) / devices;
  }
}

/** Earliest deadline, then rank, then age. */
function inOrder({ batch: a }: Load, { batch: b }: Load): number {
  const [deadlineA, deadlineB] = [a.deadlineAt ?? Infinity, b.deadlineAt ?? Infinity];
  if (deadlineA !== deadlineB) return deadlineA - deadlineB;
  return a.rank - b.rank || a.serial - b.serial;
}

/**
 * When tenants share the devices by weight, each works through its loads in order, and what one
 * leaves goes to the others: seconds until each load is done. Virtual time v is the device-seconds
 * that every tenant got for each unit of its weight; it runs faster as tenants finish.
 */
function sharedEnds(
  known: Known,
  loads: readonly Load[],
  devices: number,
): ReadonlyMap<Load, number> {
  const totals = new Map<string, { work: number; readonly weight: number; readonly max: number }>();
  const marks: { readonly load: Load; readonly v: number; readonly alone: number }[] = [];
  for (const load of loads) {
    const { tenant } = load.batch;
    const { weight, devicesMax } = tenantRules(known.rules, tenant);
    const total = totals.get(tenant) ?? { work: 0, weight, max: Math.min(devices, devicesMax) };
    total.work += load.left;
    totals.set(tenant, total);
    marks.push({ load, v: total.work / weight, alone: total.work / Math.max(1, total.max) });
  }
  const leaving = [...totals.values()]
    .map(({ work, weight }) => ({ v: work / weight, weight }))
    .sort((a, b) => a.v - b.v);
  let weights = leaving.reduce((sum, { weight }) => sum + weight, 0);
  const ends = new Map<Load, number>();
  let [v, seconds, next] = [0, 0, 0];
  for (const mark of marks.sort((a, b) => a.v - b.v)) {
    for (let leaver = leaving[next]; leaver && leaver.v < mark.v; leaver = leaving[++next]) {
      seconds += ((leaver.v - v) * weights) / devices;
      v = leaver.v;
      weights -= leaver.weight;
    }
    seconds += ((mark.v - v) * weights) / devices;
    v = mark.v;
    ends.set(mark.load, Math.max(seconds, mark.alone));
  }
  return ends;
}

function tenantsOf(
  { state, rules }: Known,
  loads: readonly Load[],
): ReadonlyMap<string, TenantForecast> {
  const backlogs = new Map<string, number>();
  for (const { batch, waiting } of loads) {
    backlogs.set(batch.tenant, (backlogs.get(batch.tenant) ?? 0) + waiting);
  }
  const tenants = new Map<string, TenantForecast>();
  for (const [name, { leases, clipsQueued: waiting, deviceSecondsUsed }] of state.tenants) {
    const backlogDeviceSeconds = backlogs.get(name) ?? 0;
    const { weight } = tenantRules(rules, name);
    const row = { running: leases, waiting, deviceSecondsUsed, backlogDeviceSeconds, weight };
    tenants.set(name, row);
  }
  return tenants;
}
