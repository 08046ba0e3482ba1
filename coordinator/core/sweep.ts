// A decision that goes over many devices or attempts is made in steps, each of which is folded in
// before the next one, so that no device is given twice and no charge is forgotten within a turn.

import type { Effect } from "./commands.js";
import type { FarmEvent } from "./events.js";
import type { Known } from "./liveness.js";

/** Leases and ends of one turn, so that its events stay within a log message. */
export const eventsPerTurnMax = 500;

/**
 * Of one sweep's events. A log message of 1,000,000 bytes holds two of them, what commands make
 * before (256 KiB, and one more command of as much), and what the last step of each goes beyond.
 */
const sweepBytesMax = 200 * 1024;

/** An event of a sweep without its free texts: names of fields, numbers, the name of the batch. */
const eventBytes = 250;

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
  /** Of the events in the log, at most. */
  bytes: number;
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
    sweep.bytes += bytesOf(event);
  };
  const request = (effect: Effect): void => {
    remember(effect);
    effects.push(effect);
  };
  const sweep: Sweep = { known, now, events, effects, bytes: 0, record, request };
  return sweep;
}

/** Whether the turn takes no more events. */
export function isFull({ events, bytes }: Sweep): boolean {
  return events.length >= eventsPerTurnMax || bytes >= sweepBytesMax;
}

function bytesOf(event: FarmEvent): number {
  let bytes = eventBytes;
  if ("worker" in event) bytes += textBytes(event.worker);
  if ("kind" in event) bytes += textBytes(event.kind);
  if ("failure" in event) bytes += textBytes(event.failure.message);
  return bytes;
}

/** Of a text in JSON, in UTF-8, at most: control characters and halves of pairs are escaped. */
function textBytes(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x20 && unit < 0x80) bytes += unit === 0x22 || unit === 0x5c ? 2 : 1;
    else if (unit < 0x20 || (unit >= 0xd800 && unit < 0xe000)) bytes += 6;
    else bytes += unit < 0x800 ? 2 : 3;
  }
  return bytes;
}

/** A reason that stands in many events, short enough to stand in them all. */
export function shortReason(text: string): string {
  return text.slice(0, 200).replace(/[\ud800-\udbff]$/, "");
}

export function recordAll(
  sweep: Sweep,
  outcome: { readonly events: readonly FarmEvent[]; readonly effects: readonly Effect[] },
): void {
  for (const event of outcome.events) sweep.record(event);
  for (const effect of outcome.effects) sweep.request(effect);
}
