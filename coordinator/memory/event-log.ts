// The log in memory, for tests: the same promises as the one in nats/, without the disk.

import { FarmError } from "../../common/errors.js";
import type { FarmEvent } from "../core/events.js";
import type { EventLog, OnTurn } from "../ports.js";

/** An empty log; two leaders may share it, as two processes share a stream. */
export function memoryEventLog(): EventLog {
  const turns: (readonly FarmEvent[])[] = []; // behind `cutAt`
  const waiting = new Set<() => void>();
  let cutAt = 0;
  const last = () => cutAt + turns.length;
  /** Hands over what is there behind `after`; returns the sequence that it came to. */
  const handOver = (after: number, onTurn: OnTurn): number => {
    if (after < cutAt) {
      throw new FarmError("IO", `turns ${after + 1} to ${cutAt} of the log were cut off`);
    }
    let sequence = after;
    for (const events of turns.slice(after - cutAt)) onTurn(structuredClone(events), ++sequence);
    return sequence;
  };
  return {
    replay: async (after, onTurn) => {
      await Promise.resolve();
      handOver(after, onTurn);
      return last();
    },
    follow: async (after, onTurn, signal) => {
      let sequence = after;
      while (!signal.aborted) {
        sequence = handOver(sequence, onTurn);
        await nextTurn(waiting, signal);
      }
    },
    append: async (events, afterSequence) => {
      await Promise.resolve();
      if (afterSequence !== last()) {
        throw new FarmError("UNAVAILABLE", "another coordinator has written to the log");
      }
      turns.push(structuredClone(events));
      for (const wake of [...waiting]) wake();
      return last();
    },
    cut: async (sequence) => {
      await Promise.resolve();
      const count = Math.min(Math.max(sequence - cutAt, 0), turns.length);
      turns.splice(0, count);
      cutAt += count;
    },
    extent: async () => ({ turns: turns.length, bytes: JSON.stringify(turns).length }),
  };
}

/** Resolves at the next append, or when the signal aborts. */
function nextTurn(waiting: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      waiting.delete(wake);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    waiting.add(wake);
    signal.addEventListener("abort", wake);
  });
}
