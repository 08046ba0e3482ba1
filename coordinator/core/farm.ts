// The core as one thing: a state folded from the log, a memory of who is alive, and one function
// that takes a command to its decision and folds the decision in. The leader, the tests and the
// simulation all drive this, each with its own log and its own time.

import { apply } from "./apply.js";
import type { Command, Decision } from "./commands.js";
import { decide, type Rules } from "./decide.js";
import {
  type Liveness,
  newLiveness,
  rememberDevice,
  rememberEvent,
  rememberGone,
  rememberHello,
  rememberProgress,
  rememberSlotFree,
} from "./liveness.js";
import type { State } from "./state.js";

export interface Farm {
  readonly state: State;
  readonly live: Liveness;
  readonly rules: Rules;
}

/** A farm over a replayed state, whose leader begins at `now`. */
export function openFarm(state: State, rules: Rules, now: number): Farm {
  return { state, live: newLiveness(state, now), rules };
}

/**
 * Takes a command: memory first, then the decision, then its events into the state as of log
 * `sequence`.
 */
export function handle(farm: Farm, command: Command, now: number, sequence: number): Decision {
  const { state, live, rules } = farm;
  remember(farm, command, now);
  const decision = decide(state, live, command, now, rules);
  for (const event of decision.events) {
    apply(state, event, sequence);
    rememberEvent(live, state, event, now);
  }
  return decision;
}

function remember({ state, live }: Farm, command: Command, now: number): void {
  switch (command.type) {
    case "hello":
      rememberHello(live, state, command.hello, now);
      break;
    case "gone":
      rememberGone(live, command.worker);
      break;
    case "progress": {
      const { worker, attempts, idleDevices } = command;
      rememberProgress(live, state, worker, attempts, idleDevices, now);
      break;
    }
    case "device":
      rememberDevice(live, command.worker, command.device);
      break;
    case "completed":
      rememberSlotFree(live, command.worker, command.ref);
      break;
    case "failed":
      if (command.childDead) rememberSlotFree(live, command.worker, command.ref);
      return;
    default:
  }
}
