// Attempts that stand still although their agent is well: told by stage and step alone, never by
// the time that the whole takes. How long is too long follows from the speed that the kind of
// device has shown, with a floor for what no speed tells.

import { revokeWaiting, stop } from "./attempts.js";
import { hasBegun, type Known, type LeaseMemory, refOf } from "./liveness.js";
import { afterFailure } from "./reports.js";
import { clipKey, leasesOn } from "./state.js";
import { isFull, recordAll, type Sweep, shortReason } from "./sweep.js";
import { secondsFrom, stepsOf } from "./work.js";

export function failStuck(sweep: Sweep): void {
  const { known, now } = sweep;
  const { live, rules } = known;
  while (!isFull(sweep)) {
    const ref = live.stuckTimers.due(now);
    if (!ref) return;
    const memory = live.leases.get(clipKey(ref.batch, ref.clip));
    if (memory?.lease.attempt !== ref.attempt) continue;
    const expectedMs = expectedMsOf(known, memory);
    const waits = memory.lease.since === null && !hasBegun(memory);
    const dueAt = waits
      ? now + rules.stuck.floorMs
      : memory.movedAt + allowedMsOf(known, memory, expectedMs);
    if (dueAt <= now) fail(sweep, memory, expectedMs);
    else live.stuckTimers.set(dueAt, ref);
  }
}

function allowedMsOf({ state, rules }: Known, { lease }: LeaseMemory, expectedMs: number): number {
  const { factor, floorMs, unlearntMs } = rules.stuck;
  const learnt = state.speeds.has(lease.kind);
  return Math.max(
    floorMs,
    learnt ? factor * expectedMs : Math.min(unlearntMs, factor * expectedMs),
  );
}

/** What the step or stage that it is in should take. */
function expectedMsOf({ state }: Known, { lease, stage }: LeaseMemory): number {
  const batch = state.batches.get(lease.batch);
  if (!batch) return 0;
  const { kind, preview } = lease;
  const wholeMs = 1000 * secondsFrom(state, batch, { kind, preview, resumeStep: 0 });
  return stage === "denoise" ? wholeMs / Math.max(1, stepsOf(batch, preview)) : wholeMs;
}

/** The slot stays taken until the agent says that the child is dead. */
function fail(sweep: Sweep, memory: LeaseMemory, expectedMs: number): void {
  const { known, now } = sweep;
  const { lease, stage, step, steps, movedAt } = memory;
  const where =
    stage === "" ? "before its first stage" : `in ${shortReason(stage)}, step ${step} of ${steps}`;
  const message =
    `it stood still for ${seconds(now - movedAt)} s ${where}, ` +
    `which should take ${seconds(expectedMs)} s; its device may need a look`;
  const others = leasesOn(known.state, lease.worker, lease.device);
  const behind = others.filter((other) => other !== lease);
  recordAll(sweep, revokeWaiting(known, behind, now));
  recordAll(sweep, afterFailure(known, lease, { code: "DEADLINE_EXCEEDED", message }, now));
  sweep.request(stop({ ...refOf(lease), worker: lease.worker }, "stuck"));
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(ms < 10_000 ? 1 : 0);
}
