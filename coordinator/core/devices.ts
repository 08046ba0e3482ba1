// Devices of connected agents, indexed for placement: those that render the same things alike form
// a group, and of each group it is known who may work at all, who is idle, and who is so near the
// end of an attempt that it asks for the next one.

import type { AttemptRef } from "./events.js";
import { compareText, SortedList } from "./sorted-list.js";
import { deviceKey } from "./state.js";

export type DeviceCondition = "starting" | "ready" | "failed";

export interface DeviceInfo {
  readonly name: string;
  readonly kind: string;
  readonly memoryBytes: number;
  readonly dtype: string;
  readonly condition: DeviceCondition;
  /** The model whose weights it holds; "" = none. */
  readonly loadedModel: string;
}

/** A model folder as an agent announces it; the texts are JSON files. */
export interface ModelInfo {
  readonly name: string;
  readonly weightsDigest: string;
  readonly transformerConfig: string;
  readonly vaeConfig: string;
  readonly textEncoderConfig: string;
  /** "" = it has none. */
  readonly modelIndex: string;
}

export interface WorkerMemory {
  readonly id: string;
  readonly version: string;
  connected: boolean;
  readonly connectedAt: number;
  /** Its agent is about to stop. */
  draining: boolean;
  /** An operator has drained it. */
  drained: boolean;
  readonly devices: Map<string, DeviceMemory>;
  readonly models: ReadonlyMap<string, ModelInfo>;
}

export interface DeviceMemory {
  readonly worker: WorkerMemory;
  info: DeviceInfo;
  /** It asked for a lease and has got none since. */
  wants: boolean;
  /** Attempts given to it that its agent has not yet ended, by name. */
  readonly slots: Map<string, AttemptRef>;
  quarantined: boolean;
  /** Its canary has failed so often that only an operator can help. */
  hopeless: boolean;
  /** What it rendered last, or holds the weights of: by name, and with the shape of its frames. */
  warmModel: string;
  warmShape: string;
  /** Where it stands in the index, null when it may not work. */
  group: DeviceGroup | null;
  free: FreeDevices | null;
}

/** Devices that wait for a lease, in the order in which they asked. */
export class FreeDevices {
  readonly all = new Set<DeviceMemory>();
  readonly byModel = new Map<string, Set<DeviceMemory>>();
  readonly byShape = new Map<string, Set<DeviceMemory>>();

  add(device: DeviceMemory): void {
    this.all.add(device);
    put(this.byModel, device.warmModel, device);
    put(this.byShape, device.warmShape, device);
    device.free = this;
  }

  delete(device: DeviceMemory): void {
    this.all.delete(device);
    take(this.byModel, device.warmModel, device);
    take(this.byShape, device.warmShape, device);
    device.free = null;
  }
}

function put(sets: Map<string, Set<DeviceMemory>>, key: string, device: DeviceMemory): void {
  const known = sets.get(key);
  if (known) known.add(device);
  else sets.set(key, new Set([device]));
}

function take(sets: Map<string, Set<DeviceMemory>>, key: string, device: DeviceMemory): void {
  const known = sets.get(key);
  known?.delete(device);
  if (known?.size === 0) sets.delete(key);
}

/** Devices of one kind whose workers have the same models. */
export interface DeviceGroup {
  readonly key: string;
  readonly kind: string;
  readonly dtype: string;
  /** "cpu" or "cuda". */
  readonly backend: string;
  /** Digest of the weights by the model's name. */
  readonly models: ReadonlyMap<string, string>;
  /** Those that may work, now or after a canary; the biggest first. */
  readonly able: SortedList<DeviceMemory>;
  readonly idle: FreeDevices;
  /** In the last steps of an attempt. */
  readonly ahead: FreeDevices;
}

/** What a device must have to render a batch. */
export interface Needs {
  readonly model: string;
  readonly weightsDigest: string;
  /** "" = any. */
  readonly dtype: string;
  readonly device: string;
}

export function canRender(group: DeviceGroup, needs: Needs): boolean {
  return (
    group.models.get(needs.model) === needs.weightsDigest &&
    (needs.dtype === "" || needs.dtype === group.dtype) &&
    (needs.device === "" || needs.device === group.backend)
  );
}

export type DeviceGroups = Map<string, DeviceGroup>;

/** Puts the device where it belongs now: `freedom` says whether and how it waits for a lease. */
export function arrange(
  groups: DeviceGroups,
  device: DeviceMemory,
  freedom: "idle" | "ahead" | null,
): void {
  const group = mayWork(device) ? (device.group ?? groupOf(groups, device)) : null;
  if (device.group !== group) {
    device.free?.delete(device);
    if (device.group) leave(groups, device.group, device);
    group?.able.add(device);
    device.group = group;
  }
  const free = group && freedom ? group[freedom] : null;
  if (device.free === free) return;
  device.free?.delete(device);
  free?.add(device);
}

/** Takes the device out of the index, before what it is sorted by changes. */
export function remove(groups: DeviceGroups, device: DeviceMemory): void {
  device.free?.delete(device);
  if (device.group) leave(groups, device.group, device);
  device.group = null;
}

function mayWork({ worker, info, hopeless }: DeviceMemory): boolean {
  const { connected, draining, drained } = worker;
  return connected && !draining && !drained && !hopeless && info.condition !== "failed";
}

function leave(groups: DeviceGroups, group: DeviceGroup, device: DeviceMemory): void {
  group.able.delete(device);
  if (group.able.items.length === 0) groups.delete(group.key);
}

function groupOf(groups: DeviceGroups, { worker, info }: DeviceMemory): DeviceGroup {
  const backend = info.name.split(":")[0] ?? "";
  const models = [...worker.models.values()]
    .map(({ name, weightsDigest }) => [name, weightsDigest] as const)
    .sort(([a], [b]) => compareText(a, b));
  const key = JSON.stringify([info.kind, info.dtype, backend, models]);
  const known = groups.get(key);
  if (known) return known;
  const group: DeviceGroup = {
    key,
    kind: info.kind,
    dtype: info.dtype,
    backend,
    models: new Map(models),
    able: new SortedList(biggestFirst),
    idle: new FreeDevices(),
    ahead: new FreeDevices(),
  };
  groups.set(key, group);
  return group;
}

function biggestFirst(a: DeviceMemory, b: DeviceMemory): number {
  return (
    b.info.memoryBytes - a.info.memoryBytes ||
    compareText(deviceKey(a.worker.id, a.info.name), deviceKey(b.worker.id, b.info.name))
  );
}
