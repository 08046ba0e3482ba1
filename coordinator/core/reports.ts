// What agents report of attempts. Only the attempt that holds its clip counts, told by its number;
// a report of any other is superseded and changes nothing, however late or often it comes.

import { attemptSeed, cut, lost, revokeWaiting, stop } from "./attempts.js";
import { type Command, type Decision, type Effect, nothing } from "./commands.js";
import type { AttemptRef, Failure, FarmEvent } from "./events.js";
import { type Known, refOf, type WorkerHello } from "./liveness.js";
import { classOf, interruptionDelayMs, retryDelayMs, triesOf } from "./retry-policy.js";
import { hasBiggerDevice } from "./runners.js";
import { clipKey, deviceKey, heldLease, type Lease, leasesOn, type State } from "./state.js";
import { planOf, resumeStepOf, stepsOf } from "./work.js";

type Of<T extends Command["type"]> = Extract<Command, { readonly type: T }>;

/**
 * A new connection: leases that its agent no longer holds are lost, attempts that hold nothing are
 * stopped, and cuts are asked for again, since the earlier connection may have ended before they
 * came through. An agent takes the second one for the first.
 */
export function welcome(known: Known, hello: WorkerHello, now: number): Decision {
  const { state, live } = known;
  const held = new Set(hello.held.map((ref) => attemptSeed(ref)));
  const events: FarmEvent[] = [];
  const cuts: Effect[] = [];
  for (const lease of leasesOn(state, hello.id)) {
    const reason = live.leases.get(clipKey(lease.batch, lease.clip))?.cut ?? null;
    if (!held.has(attemptSeed(lease))) events.push(lost(known, lease, "not_held", now));
    else if (reason !== null) cuts.push(cut(lease, reason));
  }
  return { ...nothing, events, effects: [...stopStrangers(state, hello.id, hello.held), ...cuts] };
}

export function progress(
  { state }: Known,
  { worker, attempts }: Of<"progress">,
  now: number,
): Decision {
  let events: FarmEvent[] | null = null;
  let strangers: AttemptRef[] | null = null;
  for (const report of attempts) {
    const lease = heldLease(state, report);
    if (lease?.worker !== worker) {
      strangers ??= [];
      strangers.push(report);
    } else if (!lease.started && report.step > lease.resumeStep) {
      events ??= [];
      events.push({ type: "AttemptStarted", at: now, ...refOf(report) });
    }
  }
  if (!events && !strangers) return nothing;
  const effects = strangers ? stopStrangers(state, worker, strangers) : [];
  return { ...nothing, events: events ?? [], effects };
}

export function completed({ state }: Known, command: Of<"completed">, now: number): Decision {
  const { ref, worker, artifacts, totals } = command;
  const lease = heldLease(state, ref);
  const batch = state.batches.get(ref.batch);
  if (lease?.worker !== worker || !batch) {
    return { ...nothing, effects: [superseded(state, ref, "completed")] };
  }
  const last = lease.segment === batch.segments - 1;
  const done = last ? "ClipPublished" : "SegmentCompleted";
  const type = lease.preview ? "PreviewPublished" : done;
  return { ...nothing, events: [{ type, at: now, ...refOf(ref), artifacts, totals }] };
}

/**
 * Taken only from the holder, only where the plan can be resumed, and only when it is further on
 * than what is stored for its kind of device; what another kind has stored, it cannot use.
 */
export function checkpoint(
  { state }: Known,
  { ref, worker, checkpoint: stored }: Of<"checkpoint">,
  now: number,
): Decision {
  const lease = heldLease(state, ref);
  const batch = state.batches.get(ref.batch);
  if (lease?.worker !== worker || !batch) return nothing;
  const known = resumeStepOf(batch.clips.get(ref.clip), lease.kind);
  const { step } = stored;
  const resumable =
    step === stepsOf(batch, lease.preview) ||
    planOf(batch, lease.preview).refreshPoints.includes(step);
  if (step <= known || !resumable) return nothing;
  const event = { type: "CheckpointStored", at: now, ...refOf(ref), checkpoint: stored } as const;
  return { ...nothing, events: [event] };
}

export function failed(known: Known, command: Of<"failed">, now: number): Decision {
  const { state, live, rules } = known;
  const { ref, worker, failure } = command;
  const lease = heldLease(state, ref);
  if (lease?.worker !== worker) {
    if (failure.code === "CANCELLED") return nothing; // as we asked
    return { ...nothing, effects: [superseded(state, ref, "failed")] };
  }
  if (classOf(failure.code) === "interruption") {
    const asked = (live.leases.get(clipKey(ref.batch, ref.clip))?.cut ?? null) !== null;
    const reason = asked && failure.code === "INTERRUPTED" ? "cut" : "handed_back";
    return { ...nothing, events: [lost(known, lease, reason, now)] };
  }
  if (failure.code === "INVALID_CHECKPOINT" && lease.resumeStep > 0) {
    const clip = state.batches.get(ref.batch)?.clips.get(ref.clip);
    const interruptions = (clip?.interruptions ?? 0) + 1;
    const retryAt = now + interruptionDelayMs(rules.retry, interruptions, attemptSeed(ref));
    const event = { type: "AttemptFailed", at: now, ...refOf(ref), failure, retryAt } as const;
    return { ...nothing, events: [{ ...event, memoryBytesAbove: 0 }] };
  }
  return { ...nothing, ...afterFailure(known, lease, failure, now) };
}

/**
 * The attempt's failure, the clip's when nothing is left to try, and the device's when it has
 * failed too often in a row.
 */
export function afterFailure(
  known: Known,
  lease: Lease,
  failure: Failure,
  now: number,
): Pick<Decision, "events" | "effects"> {
  const { state, live, rules } = known;
  const batch = state.batches.get(lease.batch);
  const clip = batch?.clips.get(lease.clip);
  if (!batch || !clip) return nothing;
  const kind = classOf(failure.code);
  const failures = 1 + (kind === "io" ? clip.failuresOfIo : clip.failures);
  const tries = triesOf(rules.retry, kind);
  const device = live.workers.get(lease.worker)?.devices.get(lease.device);
  const memoryBytes = device?.info.memoryBytes ?? 0;
  const final =
    kind === "input" ||
    failures >= tries.failuresMax ||
    (kind === "memory" && (clip.outOfMemory || !hasBiggerDevice(known, batch, memoryBytes)));
  const { batch: id, clip: index } = lease;
  const retryAt = final ? now : now + retryDelayMs(tries, failures, attemptSeed(lease));
  const memoryBytesAbove = kind === "memory" ? memoryBytes : 0;
  const events: FarmEvent[] = [
    { type: "AttemptFailed", at: now, ...refOf(lease), failure, retryAt, memoryBytesAbove },
  ];
  if (final) events.push({ type: "ClipFailed", at: now, batch: id, clip: index, failure });
  if (kind !== "crash") return { events, effects: [] };
  const quarantined = quarantineAfter(known, lease, failure, now);
  return { events: [...events, ...quarantined.events], effects: quarantined.effects };
}

/** One more failure of the device: after too many in a row it is quarantined. */
function quarantineAfter(
  known: Known,
  lease: Lease,
  failure: Failure,
  now: number,
): Pick<Decision, "events" | "effects"> {
  const { state, rules } = known;
  const { worker, device, kind } = lease;
  const trouble = state.troubles.get(deviceKey(worker, device));
  if (trouble?.quarantine) return nothing;
  if ((trouble?.failuresInRow ?? 0) + 1 < rules.quarantine.failuresMax) return nothing;
  const others = leasesOn(state, worker, device).filter((other) => other !== lease);
  const taken = revokeWaiting(known, others, now);
  const event: FarmEvent = { type: "DeviceQuarantined", at: now, worker, device, kind, failure };
  return { events: [event, ...taken.events], effects: taken.effects };
}

/** Attempts that an agent works on although they hold nothing: it shall stop them. */
function stopStrangers(state: State, worker: string, refs: readonly AttemptRef[]): Effect[] {
  return refs
    .filter((ref) => heldLease(state, ref)?.worker !== worker)
    .map((ref) => {
      const batch = state.batches.get(ref.batch);
      const end = batch?.clips.get(ref.clip)?.end;
      if (batch?.cancelled) return stop({ ...refOf(ref), worker }, "cancelled");
      const skipped = end === "skipped" || end === "rejected";
      return stop({ ...refOf(ref), worker }, skipped ? "skipped" : "superseded");
    });
}

function superseded(state: State, ref: AttemptRef, report: "completed" | "failed"): Effect {
  const clip = state.batches.get(ref.batch)?.clips.get(ref.clip);
  const held = clip?.lease?.attempt === ref.attempt;
  const parts = clip ? [clip.publication, clip.preview, ...clip.segmentsDone] : [];
  const published = parts.some((files) => files?.attempt === ref.attempt);
  return { type: "superseded", ref: refOf(ref), report, discard: !published && !held };
}
