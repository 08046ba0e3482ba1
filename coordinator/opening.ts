// How a coordinator comes to the state of its pool: the newest snapshot, and what the log says
// behind it. A snapshot that cannot be read costs time and nothing else, as long as the log still
// reaches back to its beginning.

import { monotonicClock } from "../common/clock.js";
import { asFarmError, FarmError } from "../common/errors.js";
import type { Log } from "../common/log.js";
import { apply } from "./core/apply.js";
import { decodeState } from "./core/snapshot.js";
import { emptyState, type State } from "./core/state.js";
import type { EventLog, SnapshotStore } from "./ports.js";

/**
 * The leader may take a snapshot and cut the log while another one reads both; that again and again
 * would mean that reading takes longer than a snapshot's worth of work.
 */
const triesMax = 3;

export interface OpeningOptions {
  readonly eventLog: EventLog;
  readonly snapshots: SnapshotStore;
  readonly log: Log;
}

export interface Opened {
  readonly state: State;
  /** Of the snapshot that it began with, 0 = none. */
  readonly snapshotSequence: number;
}

/**
 * The state at the log's end. Throws UNAVAILABLE when the log does not answer, IO when log and
 * snapshot together do not reach back, FAILED_PRECONDITION when a newer program wrote them.
 */
export async function openState(options: OpeningOptions): Promise<Opened> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await openOnce(options);
    } catch (thrown) {
      const error = asFarmError(thrown);
      if (error.code !== "IO" || tries === triesMax) throw error;
      options.log.warn({ err: error }, "the log was cut while it was read; reading it again");
    }
  }
}

async function openOnce({ eventLog, snapshots, log }: OpeningOptions): Promise<Opened> {
  const startedMs = monotonicClock.now();
  const { state, unusable } = await fromSnapshot(snapshots, log);
  const begun = state.sequence;
  const last = await replayInto(eventLog, state).catch((thrown: unknown) => {
    const error = asFarmError(thrown);
    if (error.code !== "IO" || !unusable) throw error;
    const message = `${error.message}, and the newest snapshot is unusable: ${unusable.message}`;
    throw new FarmError("IO", message, { cause: error });
  });
  if (last < begun) {
    throw new FarmError(
      "IO",
      `the log ends at ${last}, before the snapshot at ${begun}: it was lost or is another ` +
        "pool's; restore it, or name another pool or data folder",
    );
  }
  const seconds = (monotonicClock.now() - startedMs) / 1000;
  log.info({ snapshot: begun, sequence: last, term: state.term, seconds }, "the log is read");
  return { state, snapshotSequence: begun };
}

/** Folds what the log holds behind the state into it; resolves to the log's last sequence. */
export function replayInto(eventLog: EventLog, state: State): Promise<number> {
  return eventLog.replay(state.sequence, (turn, sequence) => {
    for (const event of turn) apply(state, event, sequence);
  });
}

async function fromSnapshot(
  snapshots: SnapshotStore,
  log: Log,
): Promise<{ readonly state: State; readonly unusable: FarmError | null }> {
  try {
    const newest = await snapshots.newest();
    if (newest === null) return { state: emptyState(), unusable: null };
    const state = decodeState(newest.text);
    if (state.sequence === newest.sequence) return { state, unusable: null };
    const message = `the snapshot of ${newest.sequence} stands at ${state.sequence}`;
    throw new FarmError("IO", message);
  } catch (thrown) {
    const error = asFarmError(thrown);
    // A newer program's snapshot is for a newer program, and nothing is wrong with it.
    if (error.code === "UNAVAILABLE" || error.code === "FAILED_PRECONDITION") throw error;
    log.warn({ err: error }, "the newest snapshot is unusable; the whole log is read");
    return { state: emptyState(), unusable: error };
  }
}
