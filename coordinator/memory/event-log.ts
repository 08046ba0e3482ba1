// The log in memory, for tests: the same promises as the one in nats/, without the disk.

import { FarmError } from "../../common/errors.js";
import type { FarmEvent } from "../core/events.js";
import type { EventLog } from "../ports.js";

/** An empty log; two leaders may share it, as two processes share a stream. */
export function memoryEventLog(): EventLog {
  const turns: (readonly FarmEvent[])[] = [];
  return {
    replay: async (onTurn) => {
      for (const [index, events] of turns.entries()) onTurn(events, index + 1);
      return turns.length;
    },
    append: async (events, afterSequence) => {
      await Promise.resolve();
      if (afterSequence !== turns.length) {
        throw new FarmError("UNAVAILABLE", "another coordinator has written to the log");
      }
      turns.push(structuredClone(events));
      return turns.length;
    },
  };
}
