// What could run where, told from the ledger and from what the world's devices really are. Where
// the core has a choice that is not a promise (a clip that failed on a worker goes elsewhere while
// there is an elsewhere, and one whose plan asks for more memory to a device that has it), the
// answer here is "no", so that nothing is demanded of it.

import { type Rules, tenantRules } from "../../coordinator/core/rules.js";
import type { AgentSpec, DeviceSpec } from "../scenario.js";
import type { Ledger } from "./ledger.js";
import { deviceName, type LedgerBatch, type OpenClip, stand } from "./records.js";

/** A device and its agent. */
export interface Place {
  readonly agent: AgentSpec;
  readonly device: DeviceSpec;
}

export type Places = ReadonlyMap<string, Place>;

/** Every device of these agents, by its name within the pool. */
export function placesOf(agents: readonly AgentSpec[]): Places {
  const places = new Map<string, Place>();
  for (const agent of agents) {
    for (const device of agent.devices) {
      places.set(deviceName({ worker: agent.id, device: device.name }), { agent, device });
    }
  }
  return places;
}

/** Whether the batch may be rendered there at all. */
export function matches({ accepted }: LedgerBatch, { agent, device }: Place): boolean {
  const { model, dtype, device: backend } = accepted.spec;
  const rightBackend = backend === "" || device.name.split(":")[0] === backend;
  return rightBackend && (dtype === "" || dtype === device.dtype) && agent.models.includes(model);
}

export function isBarred(batch: LedgerBatch, worker: string, rules: Rules): boolean {
  return (batch.failuresByWorker.get(worker) ?? 0) >= rules.retry.workerFailuresMax;
}

/** A clip of the batch that the device could surely be given at `at`; undefined = none is known. */
export function readyClip(
  ledger: Ledger,
  batch: LedgerBatch,
  place: Place,
  { rules, at }: { readonly rules: Rules; readonly at: number },
): number | undefined {
  if (batch.paused || batch.over || !matches(batch, place)) return undefined;
  if (batch.accepted.plan.peakBytes > place.device.memoryBytes) return undefined;
  if (isBarred(batch, place.agent.id, rules) || isOverLimit(ledger, batch, rules)) return undefined;
  for (const index of batch.waiting) {
    const clip = batch.open.get(index);
    if (clip && mayHave(clip, place, at)) return index;
  }
  return batch.fresh > 0 ? batch.stands.indexOf(stand.fresh) : undefined;
}

/** Whether the tenant has as many leases as it may. */
export function isOverLimit(ledger: Ledger, { accepted }: LedgerBatch, rules: Rules): boolean {
  const leases = ledger.leasesByTenant.get(accepted.tenant) ?? 0;
  return leases >= tenantRules(rules, accepted.tenant).devicesMax;
}

function mayHave(clip: OpenClip, { agent, device }: Place, at: number): boolean {
  const fits = clip.memoryBytesAbove === 0 || device.memoryBytes > clip.memoryBytesAbove;
  return fits && clip.retryAt <= at && !clip.failedOn.has(agent.id);
}
