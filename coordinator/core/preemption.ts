// Running attempts give way to better tiers, but only where that costs little: they are cut at a
// refresh point, from which they go on later with the same bits. Work of a better tier first waits a
// moment for a device to come free; then, for each of its clips, the attempt of the worst tier that
// loses least is cut. Never within a tier: there, shares decide.

import { cut, lost, stop } from "./attempts.js";
import { canRender } from "./devices.js";
import { hasBegun, type Known, type LeaseMemory } from "./liveness.js";
import { tenantRules } from "./rules.js";
import { isBarred } from "./runners.js";
import { type Batch, clipKey, tiers } from "./state.js";
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
    let room = cutsMax;
    for (const cutFor of live.cuts.values()) if (cutFor === workClass.key) room -= 1;
    let onTheirWay = cutsMax - room;
    for (let tier = 0; tier < tiers - 1 && room > 0 && !isFull(sweep); tier++) {
      for (const { work, clips } of waiting(sweep, workClass, tier)) {
        const covered = Math.min(onTheirWay, clips);
        onTheirWay -= covered;
        const wanted = Math.min(clips - covered, room);
        if (wanted > 0) room -= cutFor(sweep, { work, tier, wanted });
      }
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
      const clips = Math.min(room, undemanding(work));
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
  readonly batch: Batch;
  /** Device-seconds since its newest checkpoint. */
  readonly secondsLost: number;
  readonly stepsToRefresh: number;
}

interface Need {
  readonly work: BatchWork;
  readonly tier: number;
  readonly wanted: number;
}

/** Cuts, or takes back what has not begun; the answer is how many. */
function cutFor(sweep: Sweep, { work, tier, wanted }: Need): number {
  const { known, now } = sweep;
  const victims = victimsFor(known, work, tier).sort(
    (a, b) =>
      b.memory.lease.tier - a.memory.lease.tier ||
      a.secondsLost - b.secondsLost ||
      a.stepsToRefresh - b.stepsToRefresh,
  );
  for (const { memory } of victims.slice(0, wanted)) {
    const { lease } = memory;
    if (hasBegun(memory)) {
      known.live.cuts.set(clipKey(lease.batch, lease.clip), work.workClass.key);
      sweep.request(cut(lease, "preempted"));
    } else {
      sweep.record(lost(known, lease, "revoked", now));
      sweep.request(stop(lease, "revoked"));
    }
  }
  return Math.min(wanted, victims.length);
}

/** Attempts of worse tiers on devices that could run the work, which can be cut. */
function victimsFor(known: Known, { batch, workClass }: BatchWork, tier: number): Victim[] {
  const { live } = known;
  const victims: Victim[] = [];
  for (const group of live.groups.values()) {
    if (!canRender(group, workClass.needs)) continue;
    for (const device of group.able.items) {
      if (device.quarantined || isBarred(known, batch, device.worker.id)) continue;
      for (const ref of device.slots.values()) {
        const memory = live.leases.get(clipKey(ref.batch, ref.clip));
        if (memory?.lease.attempt !== ref.attempt || memory.lease.tier <= tier) continue;
        const victim = memory.cut === null ? victimOf(known, memory) : null;
        if (victim) victims.push(victim);
      }
    }
  }
  return victims;
}

function victimOf({ state }: Known, memory: LeaseMemory): Victim | null {
  const { lease, step } = memory;
  const batch = state.batches.get(lease.batch);
  if (!batch) return null;
  if (!hasBegun(memory)) return { memory, batch, secondsLost: 0, stepsToRefresh: 0 };
  const { preview, kind } = lease;
  const next = planOf(batch, preview).refreshPoints.find((point) => point > step);
  if (next === undefined) return null;
  const stored = batch.clips.get(lease.clip)?.checkpoint;
  const kept = stored?.kind === kind ? stored.step : 0;
  const whole = secondsFrom(state, batch, { kind, preview, resumeStep: 0 });
  const secondsLost = (whole * Math.max(0, step - kept)) / Math.max(1, stepsOf(batch, preview));
  return { memory, batch, secondsLost, stepsToRefresh: next - step };
}
