// A decision that goes over many devices or attempts is made in steps, each of which is folded in
// before the next one, so that no device is given twice and no charge is forgotten within a turn.

import type { Effect } from "./commands.js";
import type { FarmEvent } from "./events.js";
import type { Known } from "./liveness.js";

/** Leases and ends of one turn, so that its events stay within a log message. */
export const eventsPerTurnMax = 500;

/** What folds a decision in. */
export interface Fold {
  readonly apply: (event: FarmEvent) => void;
  readonly remember: (effect: Effect) => void;
}

export interface Sweep {
  readonly known: Known;
  readonly now: number;
  readonly events: readonly FarmEvent[];
  readonly effects: readonly Effect[];
  /** Applies the event and notes it. */
  readonly record: (event: FarmEvent) => void;
  /** Remembers the effect and notes it. */
  readonly request: (effect: Effect) => void;
}

export function newSweep(known: Known, now: number, { apply, remember }: Fold): Sweep {
  const events: FarmEvent[] = [];
  const effects: Effect[] = [];
  const record = (event: FarmEvent): void => {
    apply(event);
    events.push(event);
  };
  const request = (effect: Effect): void => {
    remember(effect);
    effects.push(effect);
  };
  return { known, now, events, effects, record, request };
}

/** Whether the turn takes no more events. */
export function isFull({ events }: Sweep): boolean {
  return events.length >= eventsPerTurnMax;
}

export function recordAll(
  sweep: Sweep,
  outcome: { readonly events: readonly FarmEvent[]; readonly effects: readonly Effect[] },
): void {
  for (const event of outcome.events) sweep.record(event);
  for (const effect of outcome.effects) sweep.request(effect);
}
