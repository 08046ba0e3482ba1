// Whether a clip fits the devices that could render it, told when it is submitted: a device that
// finds out by itself has taken a lease for nothing.

import { FarmError } from "../../common/errors.js";
import type { PlanFigures } from "../core/events.js";

export interface DeviceMemory {
  readonly worker: string;
  readonly device: string;
  /** 0 = unknown. */
  readonly memoryBytes: number;
}

/** Devices that a warning names; the others are counted. */
const namedMax = 3;

/** Throws OUT_OF_MEMORY when every device is known to have less than a clip needs. */
export function checkMemory(plan: PlanFigures, devices: readonly DeviceMemory[]): void {
  const [biggest] = [...devices].sort((a, b) => b.memoryBytes - a.memoryBytes);
  if (!biggest || devices.some((device) => !isTooSmall(plan, device))) return;
  const { worker, device, memoryBytes } = biggest;
  throw new FarmError(
    "OUT_OF_MEMORY",
    `${needs(plan)}; the biggest device, ${device} of ${worker}, has ${gigabytes(memoryBytes)}; ` +
      "take fewer frames, a smaller size or a policy that keeps less",
  );
}

/** Names the devices that will get none of the batch, when others will. */
export function memoryWarnings(
  plan: PlanFigures,
  devices: readonly DeviceMemory[],
): readonly string[] {
  const small = devices.filter((device) => isTooSmall(plan, device));
  if (small.length === 0) return [];
  const names = small
    .slice(0, namedMax)
    .map(({ device, worker, memoryBytes }) => `${device} of ${worker} (${gigabytes(memoryBytes)})`);
  const verb = small.length === 1 ? "is" : "are";
  const more = small.length > namedMax ? ` and ${small.length - namedMax} more` : "";
  return [`${needs(plan)}: too small for it ${verb} ${names.join(", ")}${more}`];
}

function needs({ peakBytes, cacheBytes }: PlanFigures): string {
  const cache = cacheBytes > 0 ? `, ${gigabytes(cacheBytes)} of it for its cache` : "";
  return `a clip needs ${gigabytes(peakBytes)}${cache}`;
}

function isTooSmall({ peakBytes }: PlanFigures, { memoryBytes }: DeviceMemory): boolean {
  return memoryBytes !== 0 && memoryBytes < peakBytes;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
