// A quarantined device's way back: it renders something small for nobody, again after a growing
// wait while that fails, a bounded number of times. All devices of a kind render it to the same
// bits, so the first canary that succeeded is what the others are held to; one that comes out
// otherwise keeps its device away.

import { refuse } from "./admission.js";
import { type Command, type Decision, nothing } from "./commands.js";
import type { DeviceMemory } from "./devices.js";
import { rememberCanaryFailure } from "./event-memory.js";
import type { Failure, FarmEvent } from "./events.js";
import { isDraining, type Known } from "./liveness.js";
import { compareText } from "./sorted-list.js";
import { canaryKey, deviceKey, isQuarantined } from "./state.js";
import type { Sweep } from "./sweep.js";

/** Sends canaries that are due, and gives up those that were not answered. */
export function tryDevices(sweep: Sweep): void {
  const { known, now } = sweep;
  const { state, live, rules } = known;
  for (const [key, canary] of live.canaries) {
    if (canary.id !== "" && now - canary.sentAt > rules.quarantine.canaryMs) {
      rememberCanaryFailure(known, key, now);
    }
    if (canary.id !== "" || canary.nextAt > now) continue;
    const device = live.workers.get(canary.worker)?.devices.get(canary.device);
    const model = device && canTry(device) ? modelFor(known, device) : undefined;
    if (!device || model === undefined) continue;
    const { worker, device: name } = canary;
    const id = `${key}/${state.term}-${canary.failures + 1}`;
    sweep.request({ type: "try_device", worker, device: name, id, model });
  }
}

function canTry({ worker, info, slots }: DeviceMemory): boolean {
  return worker.connected && !isDraining(worker) && info.condition === "ready" && slots.size === 0;
}

/** One of which it is known what comes out, else the first by name. */
function modelFor({ state }: Known, { worker, info }: DeviceMemory): string | undefined {
  const models = [...worker.models.values()].sort((a, b) => compareText(a.name, b.name));
  const held = models.find((model) =>
    state.canaries.has(canaryKey(info.kind, model.weightsDigest)),
  );
  return (held ?? models[0])?.name;
}

export function canaryResult(
  known: Known,
  result: Extract<Command, { type: "canary_result" }>,
  now: number,
): Decision {
  const { state, live } = known;
  const { worker, device, id, sha256, failure } = result;
  const key = deviceKey(worker, device);
  const canary = live.canaries.get(key);
  const trouble = state.troubles.get(key);
  if (!canary || canary.id !== id || !trouble?.quarantine) return nothing; // answered too late
  const { weightsDigest } = canary;
  const expected = state.canaries.get(canaryKey(trouble.kind, weightsDigest));
  if (failure === null && (expected === undefined || expected === sha256)) {
    const by = "canary" as const;
    const released = { type: "DeviceReleased", at: now, worker, device, by } as const;
    return { ...nothing, events: [{ ...released, sha256, weightsDigest }] };
  }
  rememberCanaryFailure(known, key, now);
  if (failure !== null) return nothing;
  const event: FarmEvent = {
    ...{ type: "DeviceQuarantined", at: now, worker, device, kind: trouble.kind },
    failure: otherBits(trouble.kind, sha256, expected ?? ""),
  };
  return { ...nothing, events: [event] };
}

function otherBits(kind: string, sha256: string, expected: string): Failure {
  return {
    code: "INTERNAL",
    message:
      `its canary has SHA-256 ${sha256.slice(0, 16)}, other devices of kind ${kind} render ` +
      `${expected.slice(0, 16)}; check its memory`,
  };
}

/** An operator's word: the device is good. */
export function releaseDevice(
  { state, live }: Known,
  { worker, device }: Extract<Command, { type: "release_device" }>,
  now: number,
): Decision {
  if (isQuarantined(state, worker, device)) {
    const by = { by: "operator", sha256: "", weightsDigest: "" } as const;
    return { ...nothing, events: [{ type: "DeviceReleased", at: now, worker, device, ...by }] };
  }
  if (live.workers.get(worker)?.devices.has(device)) return nothing;
  const message = `worker ${worker} has no device ${device}; ListWorkers names those there are`;
  return refuse("NOT_FOUND", message);
}
