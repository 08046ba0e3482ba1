// Who may run a clip at all, now or later: the questions that failures raise. Answered from the
// groups of devices, biggest device first, so that an answer is found within a few looks.

import { canRender, type DeviceGroup, type DeviceMemory } from "./devices.js";
import type { Known } from "./liveness.js";
import type { Batch } from "./state.js";

/** What a clip asks of a device, besides what its batch needs. */
export interface Demands {
  /** More memory than this; 0 = any. */
  readonly memoryBytesAbove: number;
  readonly failedOn: readonly string[];
}

/** A worker that failed a batch too often gets no more of it. */
export function isBarred({ rules }: Known, batch: Batch, worker: string): boolean {
  if (batch.failuresByWorker.size === 0) return false;
  return (batch.failuresByWorker.get(worker) ?? 0) >= rules.retry.workerFailuresMax;
}

export function hasMemory({ info }: DeviceMemory, { memoryBytesAbove }: Demands): boolean {
  return memoryBytesAbove === 0 || info.memoryBytes > memoryBytesAbove;
}

/**
 * The device is known to have less memory than the batch's plan asks, and somebody who has enough
 * is there. Where nobody has, the plan may ask too much, and the engine decides.
 */
export function isTooSmall(known: Known, batch: Batch, { info }: DeviceMemory): boolean {
  if (info.memoryBytes === 0 || info.memoryBytes >= peakBytesOf(batch)) return false;
  return isAnybodyBigEnough(known, batch);
}

/** The same of every device of the group. */
export function areTooSmall(known: Known, batch: Batch, { able }: DeviceGroup): boolean {
  const [biggest, smallest] = [able.items[0], able.items[able.items.length - 1]];
  if (!biggest || smallest?.info.memoryBytes === 0) return false;
  return isTooSmall(known, batch, biggest);
}

function isAnybodyBigEnough(known: Known, batch: Batch): boolean {
  for (const group of groupsFor(known, batch)) {
    for (const { worker, info } of group.able.items) {
      if (info.memoryBytes < peakBytesOf(batch)) break; // the biggest come first
      if (!isBarred(known, batch, worker.id)) return true;
    }
  }
  return false;
}

/** Of its preview or its final render, whichever takes more. */
function peakBytesOf({ plan, preview }: Batch): number {
  return Math.max(plan.peakBytes, preview?.plan.peakBytes ?? 0);
}

/** Whether some device has more memory than this and may run the batch. */
export function hasBiggerDevice(known: Known, batch: Batch, memoryBytes: number): boolean {
  return someRunner(known, batch, { memoryBytesAbove: Math.max(1, memoryBytes), failedOn: [] });
}

/** Whether a device that is not quarantined meets the demands, on a worker not failed on yet. */
export function isElsewhere(known: Known, batch: Batch, demands: Demands): boolean {
  return someRunner(known, batch, demands, ({ quarantined }) => !quarantined);
}

/** Whether any device may run the batch, as far as it is known at all; barred ones count. */
export function countRunners(known: Known, batch: Batch): number {
  let count = 0;
  for (const group of groupsFor(known, batch)) count += group.able.items.length;
  return count;
}

export function someRunner(
  known: Known,
  batch: Batch,
  demands: Demands,
  fits: (device: DeviceMemory) => boolean = () => true,
): boolean {
  for (const group of groupsFor(known, batch)) {
    if (areTooSmall(known, batch, group)) continue;
    for (const device of group.able.items) {
      if (!hasMemory(device, demands)) break; // the biggest come first
      if (isTooSmall(known, batch, device)) continue;
      if (demands.failedOn.includes(device.worker.id)) continue;
      if (!isBarred(known, batch, device.worker.id) && fits(device)) return true;
    }
  }
  return false;
}

function* groupsFor({ live }: Known, { spec, weightsDigest }: Batch) {
  const { model, dtype, device } = spec;
  for (const group of live.groups.values()) {
    if (canRender(group, { model, weightsDigest, dtype, device })) yield group;
  }
}
