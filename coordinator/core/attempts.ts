// The events and effects by which attempts end without having been done, in one place: lost, taken
// back before they began, cut, stopped.

import type { Effect } from "./commands.js";
import type { AttemptRef, FarmEvent, LostReason } from "./events.js";
import { type CutReason, isWaiting, type Known, refOf } from "./liveness.js";
import { interruptionDelayMs } from "./retry-policy.js";
import { clipKey, type Lease } from "./state.js";
import { eventsPerTurnMax } from "./sweep.js";

export interface Outcome {
  readonly events: FarmEvent[];
  readonly effects: Effect[];
}

/** Jitter of an attempt's waits is hashed from this. */
export function attemptSeed({ batch, clip, attempt }: AttemptRef): string {
  return `${clipKey(batch, clip)}/${attempt}`;
}

/** An interruption; the first ones cost no wait, and being revoked never does. */
export function lost(known: Known, lease: Lease, reason: LostReason, now: number): FarmEvent {
  const { state, rules } = known;
  const clip = state.batches.get(lease.batch)?.clips.get(lease.clip);
  const interruptions = (clip?.interruptions ?? 0) + 1;
  const waitMs =
    reason === "revoked" ? 0 : interruptionDelayMs(rules.retry, interruptions, attemptSeed(lease));
  return { type: "AttemptLost", at: now, ...refOf(lease), reason, retryAt: now + waitMs };
}

export function stop(
  lease: AttemptRef & { readonly worker: string },
  reason: Extract<Effect, { type: "stop_attempt" }>["reason"],
): Effect {
  return { type: "stop_attempt", worker: lease.worker, ref: refOf(lease), reason };
}

/**
 * Leases that have not begun are taken back, which costs nothing; as many as a turn takes events.
 */
export function revokeWaiting(known: Known, leases: Iterable<Lease>, now: number): Outcome {
  const outcome: Outcome = { events: [], effects: [] };
  for (const lease of leases) {
    const memory = known.live.leases.get(clipKey(lease.batch, lease.clip));
    if (memory && !isWaiting(memory)) continue;
    if (outcome.events.length >= eventsPerTurnMax) break;
    outcome.events.push(lost(known, lease, "revoked", now));
    outcome.effects.push(stop(lease, "revoked"));
  }
  return outcome;
}

/** Asks for a checkpoint at the next refresh point, and the device back. */
export function cut(lease: Lease, reason: CutReason): Effect {
  return { type: "cut_attempt", worker: lease.worker, ref: refOf(lease), reason };
}

/** Takes back what has not begun, and cuts the rest where that was not asked yet. */
export function handBack(
  known: Known,
  leases: readonly Lease[],
  reason: CutReason,
  now: number,
): Outcome {
  const outcome = revokeWaiting(known, leases, now);
  const revoked = new Set(
    outcome.effects.map((effect) => "ref" in effect && attemptSeed(effect.ref)),
  );
  for (const lease of leases) {
    const memory = known.live.leases.get(clipKey(lease.batch, lease.clip));
    if (memory?.cut !== null || revoked.has(attemptSeed(lease))) continue;
    outcome.effects.push(cut(lease, reason));
  }
  return outcome;
}
