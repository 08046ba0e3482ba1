// Running attempts give way to better tiers, but only where that costs little: they are cut at a
// refresh point, from which they go on later with the same bits. Work of a better tier first waits
// a moment for a device to come free; then, for each of its clips, the attempt of the worst tier
// that loses least is cut. Never within a tier: there, shares decide.

import { cut, lost, stop } from "./attempts.js";
import { canRender, type DeviceMemory } from "./devices.js";
import { isWaiting, type Known, type LeaseMemory } from "./liveness.js";
import { tenantRules } from "./rules.js";
import { isBarred, isTooSmall } from "./runners.js";
import { clipKey, tiers } from "./state.js";
import { isFull, type Sweep } from "./sweep.js";
import { planOf, secondsFrom, stepsOf } from "./work.js";
import type { BatchWork, WorkClass } from "./work-queue.js";

/** Cuts are looked for this often, since that goes over all devices that could help. */
const gapMs = 1_000;

/** Cuts on their way at a time for one class of work. */
const cutsMax = 64;

export function preempt(sweep: Sweep): void {
  const { known, now } = sweep;
  const { live, rules } = known;
  if (!rules.preemption.enabled || now - live.preemptedAt < gapMs) return;
  live.preemptedAt = now;
  for (const workClass of live.queue.classes()) {
    const needs = [...unmetNeeds(sweep, workClass)];
    const [best] = needs;
    if (!best) continue;
    const victims = victimsFor(known, workClass, best.tier);
    for (const need of needs) cutFor(sweep, need, victims);
  }
}

interface Need {
  readonly work: BatchWork;
  readonly tier: number;
  readonly clips: number;
}

/** Clips of better tiers that wait, less those for which something was cut; best tier first. */
function* unmetNeeds(sweep: Sweep, workClass: WorkClass): Generator<Need> {
  let onTheirWay = 0;
  for (const key of sweep.known.live.cuts.values()) if (key === workClass.key) onTheirWay += 1;
  let room = cutsMax - onTheirWay;
  for (let tier = 0; tier < tiers - 1; tier++) {
    for (const { work, clips } of waiting(sweep, workClass, tier)) {
      const covered = Math.min(onTheirWay, clips);
      onTheirWay -= covered;
      const unmet = Math.min(clips - covered, room);
      room -= unmet;
      if (unmet > 0) yield { work, tier, clips: unmet };
      if (room <= 0) return;
    }
  }
}

/** Batches of the tier that have waited long enough, and how many clips of each could run. */
function* waiting(
  { known, now }: Sweep,
  workClass: WorkClass,
  tier: number,
): Generator<{ readonly work: BatchWork; readonly clips: number }> {
  const { state, rules } = known;
  for (const { tenant, works } of workClass.tiers[tier]?.tenants.values() ?? []) {
    const { devicesMax } = tenantRules(rules, tenant);
    let room = devicesMax - (state.tenants.get(tenant)?.leases ?? 0);
    for (const work of works.items) {
      if (room <= 0) break;
      if (now - work.batch.waitingSince < rules.preemption.waitMs) continue;
      // A batch that has only risen is back in its own tier after one lease.
      const most = tier < work.batch.priority ? 1 : room;
      const clips = Math.min(most, undemanding(work));
      room -= clips;
      if (clips > 0) yield { work, clips };
    }
  }
}

/** Ready clips that any device of the class may run: for others a cut could be in vain. */
function undemanding({ batch, ready }: BatchWork): number {
  let count = batch.clipsFresh;
  for (const { memoryBytesAbove, failedOn, clips } of ready.buckets.values()) {
    if (memoryBytesAbove === 0 && failedOn.length === 0) count += clips.size;
  }
  return count;
}

interface Victim {
  readonly memory: LeaseMemory;
  readonly device: DeviceMemory;
  /** Device-seconds since its newest checkpoint. */
  readonly secondsLost: number;
  readonly stepsToRefresh: number;
}

/** Cuts, or takes back what has not begun; whoever is taken leaves the list of victims. */
function cutFor(sweep: Sweep, { work, tier, clips }: Need, victims: Set<Victim>): void {
  const { known, now } = sweep;
  let left = clips;
  for (const victim of victims) {
    const { device } = victim;
    const { lease } = victim.memory;
    if (left === 0 || isFull(sweep)) return;
    if (lease.tier <= tier) return; // the worst tiers come first
    if (isBarred(known, work.batch, lease.worker)) continue;
    if (isTooSmall(known, work.batch, device)) continue;
    victims.delete(victim);
    left -= 1;
    if (isWaiting(victim.memory)) {
      sweep.record(lost(known, lease, "revoked", now));
      sweep.request(stop(lease, "revoked"));
    } else {
      known.live.cuts.set(clipKey(lease.batch, lease.clip), work.workClass.key);
      sweep.request(cut(lease, "preempted"));
    }
  }
}

/**
 * Attempts of worse tiers than this, on devices that could run the class, which can be cut: those
 * of the worst tier first, then those that lose least.
 */
function victimsFor(known: Known, workClass: WorkClass, tier: number): Set<Victim> {
  const { live } = known;
  const victims: Victim[] = [];
  for (const group of live.groups.values()) {
    if (!canRender(group, workClass.needs)) continue;
    for (const device of group.able.items) {
      if (device.quarantined) continue;
      for (const ref of device.slots.values()) {
        const memory = live.leases.get(clipKey(ref.batch, ref.clip));
        if (memory?.lease.attempt !== ref.attempt || memory.lease.tier <= tier) continue;
        const victim = memory.cut === null ? victimOf(known, memory, device) : null;
        if (victim) victims.push(victim);
      }
    }
  }
  victims.sort(
    (a, b) =>
      b.memory.lease.tier - a.memory.lease.tier ||
      a.secondsLost - b.secondsLost ||
      a.stepsToRefresh - b.stepsToRefresh,
  );
  return new Set(victims);
}

function victimOf({ state }: Known, memory: LeaseMemory, device: DeviceMemory): Victim | null {
  const { lease, step } = memory;
  const batch = state.batches.get(lease.batch);
  if (!batch) return null;
  if (isWaiting(memory)) return { memory, device, secondsLost: 0, stepsToRefresh: 0 };
  const { preview, kind } = lease;
  const next = planOf(batch, preview).refreshPoints.find((point) => point > step);
  if (next === undefined) return null;
  const stored = batch.clips.get(lease.clip)?.checkpoint;
  const kept = stored?.kind === kind ? stored.step : 0;
  const whole = secondsFrom(state, batch, { kind, preview, resumeStep: 0 });
  const secondsLost = (whole * Math.max(0, step - kept)) / Math.max(1, stepsOf(batch, preview));
  return { memory, device, secondsLost, stepsToRefresh: next - step };
}
