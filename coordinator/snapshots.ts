// When a leader takes snapshots, and cuts the log behind them. A snapshot is made from the log and
// the snapshot before it, not from the leader's memory, on a thread of its own: however large the
// state is, no turn waits for it, and what a later leader will begin with has been read once.

import { asFarmError } from "../common/errors.js";
import type { Log } from "../common/log.js";
import { encodeState } from "./core/snapshot.js";
import { type OpeningOptions, openState } from "./opening.js";
import type { EventLog, Life } from "./ports.js";

/**
 * A standby that is behind by less goes on with the log, and need not begin with a snapshot; never
 * more than a snapshot's worth of turns.
 */
const turnsKeptMax = 1_000;

/** How often the log is asked for its bytes, in turns. */
const extentTurns = 500;

/** After a failure, this part of the usual turns passes before the next try. */
const retryShare = 0.1;

/** A snapshot is taken when the log has grown by either. */
export interface SnapshotLimits {
  readonly turns: number;
  readonly bytes: number;
}

export interface SnapshotDuty {
  readonly life: Pick<Life, "sequence" | "onTurn"> & {
    /** Of the newest snapshot that is known, 0 = none. */
    readonly snapshotSequence: number;
  };
  readonly eventLog: EventLog;
  readonly limits: SnapshotLimits;
  /** Makes and stores a snapshot; resolves to its sequence. */
  readonly take: (signal: AbortSignal) => Promise<number>;
  readonly log: Log;
}

/** Takes snapshots while the log grows, one at a time. */
export function keepSnapshots(duty: SnapshotDuty): { stop(): Promise<void> } {
  const { life, eventLog, limits, take, log } = duty;
  const stopping = new AbortController();
  let taken = life.snapshotSequence;
  let bytesTaken = 0;
  let lookAt = life.sequence;
  let working: Promise<void> | undefined;

  const isDue = async (): Promise<boolean> => {
    if (life.sequence - taken >= limits.turns) return true;
    return (await eventLog.extent()).bytes - bytesTaken >= limits.bytes;
  };

  const look = async (): Promise<void> => {
    lookAt = life.sequence + Math.min(extentTurns, limits.turns);
    try {
      if (!(await isDue())) return;
      taken = await take(stopping.signal);
      await eventLog.cut(taken - Math.min(turnsKeptMax, limits.turns));
      const { turns, bytes } = await eventLog.extent();
      bytesTaken = bytes;
      log.info({ sequence: taken, turns, bytes }, "a snapshot is stored, the log is cut behind it");
    } catch (thrown) {
      lookAt = life.sequence + Math.ceil(limits.turns * retryShare);
      if (!stopping.signal.aborted) log.warn({ err: asFarmError(thrown) }, "no snapshot was taken");
    }
  };

  const check = (): void => {
    if (working || stopping.signal.aborted || life.sequence < lookAt) return;
    working = look().then(() => {
      working = undefined;
    });
  };
  const unsubscribe = life.onTurn(check);
  check();
  return {
    stop: async () => {
      unsubscribe();
      stopping.abort();
      await working;
    },
  };
}

/** Makes a snapshot of the log's present end and stores it; resolves to its sequence. */
export async function takeSnapshot(options: OpeningOptions): Promise<number> {
  const { state, snapshotSequence } = await openState(options);
  if (state.sequence === snapshotSequence) return snapshotSequence; // nothing happened since
  await options.snapshots.save(state.sequence, encodeState(state));
  return state.sequence;
}
