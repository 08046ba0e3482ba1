// An operator's word on a worker, and an agent's word on its devices.

import { refuse } from "./admission.js";
import { handBack, type Outcome, revokeWaiting } from "./attempts.js";
import { type Command, type Decision, nothing } from "./commands.js";
import { type Known, workersMax } from "./liveness.js";
import { leasesOn } from "./state.js";

/** The worker hands back what it has and gets nothing more; or it works again. */
export function drainWorker(
  known: Known,
  { worker, undo }: Extract<Command, { type: "drain_worker" }>,
  now: number,
): Decision {
  const { state, live } = known;
  const drained = state.drained.has(worker);
  if (undo) {
    const event = { type: "WorkerUndrained", at: now, worker } as const;
    return { ...nothing, events: drained ? [event] : [] };
  }
  if (!drained && !live.workers.has(worker)) {
    return refuse("NOT_FOUND", `there is no worker ${worker}; ListWorkers names those there are`);
  }
  if (!drained && state.drained.size >= workersMax) {
    const message = `${workersMax} workers are drained already; let some work again`;
    return refuse("RESOURCE_EXHAUSTED", message);
  }
  const { events, effects } = handBack(known, leasesOn(state, worker), "drained", now);
  const event = { type: "WorkerDrained", at: now, worker } as const;
  return { ...nothing, events: drained ? events : [event, ...events], effects };
}

/** What has not begun on a device that has failed goes elsewhere. */
export function deviceChanged(
  known: Known,
  { worker, device }: Extract<Command, { type: "device" }>,
  now: number,
): Decision {
  if (device.condition !== "failed") return nothing;
  const taken: Outcome = revokeWaiting(known, leasesOn(known.state, worker, device.name), now);
  return { ...nothing, ...taken };
}
