// The core's one question: given what is known, which events follow a command? Pure: the answer
// depends on the arguments alone. The caller appends the events to the log and only then applies
// effects and answers anybody.

import { unreachable } from "../../common/assert.js";
import { admit } from "./admission.js";
import { type Command, type Decision, type Effect, nothing } from "./commands.js";
import type { AttemptRef, Failure, FarmEvent } from "./events.js";
import type { AttemptReport, Liveness, WorkerHello } from "./liveness.js";
import { eventsPerTurnMax, failStarved, hasBiggerDevice, place } from "./placement.js";
import {
  classOf,
  defaultRetryPolicy,
  interruptionDelayMs,
  type RetryPolicy,
  retryDelayMs,
} from "./retry-policy.js";
import { clipKey, heldLease, type Lease, type State } from "./state.js";

export interface Rules {
  /** A lease that is not renewed for this long is lost. */
  readonly leaseMs: number;
  readonly retry: RetryPolicy;
}

export const defaultRules: Rules = { leaseMs: 10_000, retry: defaultRetryPolicy };

/** The events that follow `command` at `now`, which is not below the newest event's `at`. */
export function decide(
  state: State,
  live: Liveness,
  command: Command,
  now: number,
  rules: Rules,
): Decision {
  switch (command.type) {
    case "submit":
      return admit(state, command.submission, now);
    case "cancel":
      return cancel(state, command.batch, now);
    case "hello":
      return welcome(state, command.hello, now, rules);
    case "progress":
      return progress(state, command.worker, command.attempts, now);
    case "completed":
      return completed(state, command, now);
    case "failed":
      return failed(state, live, command, now, rules);
    case "expire":
      return { ...nothing, events: expire(state, live, now, rules) };
    case "place":
      return { ...nothing, events: place(state, live, rules.retry, now) };
    case "gone":
    case "device":
      return nothing; // memory alone
    default:
      return unreachable(command);
  }
}

function cancel(state: State, id: string, now: number): Decision {
  const batch = state.batches.get(id);
  if (!batch) {
    const message = `there is no batch ${id}; ListBatches names those there are`;
    return { ...nothing, refusal: { code: "NOT_FOUND", message } };
  }
  if (batch.endedAt !== null) return { ...nothing, batch: id };
  const effects: Effect[] = [];
  for (const clip of batch.clips.values()) {
    if (clip.lease) effects.push(stop(clip.lease, "cancelled"));
  }
  const events = [{ type: "BatchCancelled", at: now, batch: id }] as const;
  return { ...nothing, events, effects, batch: id };
}

/**
 * A new connection: leases that its agent no longer holds are lost, attempts that hold nothing are
 * stopped.
 */
function welcome(state: State, hello: WorkerHello, now: number, rules: Rules): Decision {
  const held = new Set(hello.held.map((ref) => `${clipKey(ref.batch, ref.clip)}/${ref.attempt}`));
  const events: FarmEvent[] = [];
  for (const [key, lease] of state.leases) {
    if (lease.worker !== hello.id || held.has(`${key}/${lease.attempt}`)) continue;
    events.push(lost(state, lease, "not_held", now, rules));
  }
  return { ...nothing, events, effects: stopStrangers(state, hello.id, hello.held) };
}

function progress(
  state: State,
  worker: string,
  attempts: readonly AttemptReport[],
  now: number,
): Decision {
  const events: FarmEvent[] = [];
  for (const { batch, clip, attempt, step } of attempts) {
    const lease = heldLease(state, { batch, clip, attempt });
    if (lease?.worker !== worker || lease.started || step < 1) continue;
    events.push({ type: "AttemptStarted", at: now, batch, clip, attempt });
  }
  return { ...nothing, events, effects: stopStrangers(state, worker, attempts) };
}

function completed(
  state: State,
  command: Extract<Command, { type: "completed" }>,
  now: number,
): Decision {
  const { ref, worker, artifacts, totals } = command;
  if (heldLease(state, ref)?.worker !== worker) {
    return { ...nothing, effects: [superseded(state, ref, "completed")] };
  }
  return {
    ...nothing,
    events: [{ type: "ClipPublished", at: now, ...plain(ref), artifacts, totals }],
  };
}

function failed(
  state: State,
  live: Liveness,
  command: Extract<Command, { type: "failed" }>,
  now: number,
  rules: Rules,
): Decision {
  const { ref, worker, failure } = command;
  const lease = heldLease(state, ref);
  if (lease?.worker !== worker) {
    if (failure.code === "CANCELLED") return nothing; // as we asked
    return { ...nothing, effects: [superseded(state, ref, "failed")] };
  }
  if (classOf(failure.code) === "interruption") {
    return { ...nothing, events: [lost(state, lease, "handed_back", now, rules)] };
  }
  return { ...nothing, events: afterFailure(state, live, lease, failure, now, rules) };
}

/** The attempt's failure, and the clip's when nothing is left to try. */
function afterFailure(
  state: State,
  live: Liveness,
  lease: Lease,
  failure: Failure,
  now: number,
  rules: Rules,
): readonly FarmEvent[] {
  const batch = state.batches.get(lease.batch);
  const clip = batch?.clips.get(lease.clip);
  if (!batch || !clip) return [];
  const failures = clip.failures + 1;
  const kind = classOf(failure.code);
  const device = live.workers.get(lease.worker)?.devices.get(lease.device);
  const memoryBytes = device?.info.memoryBytes ?? 0;
  const final =
    kind === "input" ||
    failures >= rules.retry.failuresMax ||
    (kind === "memory" &&
      (clip.outOfMemory || !hasBiggerDevice(batch, live, rules.retry, memoryBytes)));
  const attemptFailed: FarmEvent = {
    type: "AttemptFailed",
    at: now,
    ...plain(lease),
    failure,
    retryAt: final ? now : now + retryDelayMs(rules.retry, failures, attemptSeed(lease)),
    memoryBytesAbove: kind === "memory" ? memoryBytes : 0,
  };
  if (!final) return [attemptFailed];
  const { batch: id, clip: index } = lease;
  return [attemptFailed, { type: "ClipFailed", at: now, batch: id, clip: index, failure }];
}

function expire(state: State, live: Liveness, now: number, rules: Rules): readonly FarmEvent[] {
  const events: FarmEvent[] = [];
  for (const [key, lease] of state.leases) {
    if (events.length >= eventsPerTurnMax) return events;
    const renewedAt = live.leases.get(key)?.renewedAt ?? live.since;
    if (now - renewedAt <= rules.leaseMs) continue;
    events.push(lost(state, lease, "silent", now, rules));
  }
  // A new leader waits until every agent had the time to come back.
  if (events.length > 0 || now - live.since <= rules.leaseMs) return events;
  return failStarved(state, live, rules.retry, now);
}

function lost(
  state: State,
  lease: Lease,
  reason: "silent" | "not_held" | "handed_back",
  now: number,
  rules: Rules,
): FarmEvent {
  const clip = state.batches.get(lease.batch)?.clips.get(lease.clip);
  const interruptions = (clip?.interruptions ?? 0) + 1;
  const retryAt = now + interruptionDelayMs(rules.retry, interruptions, attemptSeed(lease));
  return { type: "AttemptLost", at: now, ...plain(lease), reason, retryAt };
}

/** Attempts that an agent works on although they hold nothing: it shall stop them. */
function stopStrangers(state: State, worker: string, refs: readonly AttemptRef[]): Effect[] {
  return refs
    .filter((ref) => heldLease(state, ref)?.worker !== worker)
    .map((ref) => {
      const reason = state.batches.get(ref.batch)?.cancelled ? "cancelled" : "superseded";
      return stop({ ...ref, worker }, reason);
    });
}

function stop(
  lease: AttemptRef & { readonly worker: string },
  reason: "cancelled" | "superseded",
): Effect {
  return { type: "stop_attempt", worker: lease.worker, ref: plain(lease), reason };
}

function superseded(state: State, ref: AttemptRef, report: "completed" | "failed"): Effect {
  const clip = state.batches.get(ref.batch)?.clips.get(ref.clip);
  const published = clip?.publication?.attempt === ref.attempt;
  const held = clip?.lease?.attempt === ref.attempt;
  return { type: "superseded", ref: plain(ref), report, discard: !published && !held };
}

function plain({ batch, clip, attempt }: AttemptRef): AttemptRef {
  return { batch, clip, attempt };
}

function attemptSeed({ batch, clip, attempt }: AttemptRef): string {
  return `${clipKey(batch, clip)}/${attempt}`;
}
