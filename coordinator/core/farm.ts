// The core as one thing: a state folded from the log, a memory of who is alive, and one function
// that takes a command to its decision and folds the decision in. The leader, the tests and the
// simulation all drive this, each with its own log and its own time.

import {
  rememberDevice,
  rememberGone,
  rememberHello,
  rememberProgress,
  rememberSlotFree,
} from "./agent-memory.js";
import { apply } from "./apply.js";
import type { Command, Decision } from "./commands.js";
import { decide } from "./decide.js";
import { endedBy, rememberEffect, rememberEvent } from "./event-memory.js";
import { type Liveness, newLiveness } from "./liveness.js";
import type { Rules } from "./rules.js";
import type { State } from "./state.js";

export interface Farm {
  readonly state: State;
  readonly live: Liveness;
  readonly rules: Rules;
}

/** A farm over a replayed state, whose leader begins at `now`. */
export function openFarm(state: State, rules: Rules, now: number): Farm {
  return { state, live: newLiveness(state, rules, now), rules };
}

/**
 * Takes a command: memory first, then the decision, whose events go into the state as of log
 * `sequence` while it is made: a sweep over many devices sees what it gave to the ones before.
 */
export function handle(farm: Farm, command: Command, now: number, sequence: number): Decision {
  remember(farm, command, now);
  return decide(farm, command, now, {
    apply: (event) => {
      const ended = endedBy(farm.state, event);
      apply(farm.state, event, sequence);
      rememberEvent(farm, event, ended, now);
    },
    remember: (effect) => rememberEffect(farm, effect, now),
  });
}

function remember(farm: Farm, command: Command, now: number): void {
  switch (command.type) {
    case "hello":
      rememberHello(farm, command.hello, now);
      return;
    case "gone":
      rememberGone(farm, command.worker);
      return;
    case "progress":
      rememberProgress(farm, command, now);
      return;
    case "device":
      rememberDevice(farm, command.worker, command.device);
      return;
    case "completed":
      rememberSlotFree(farm, command.worker, command.ref);
      return;
    case "failed":
      if (command.childDead) rememberSlotFree(farm, command.worker, command.ref);
      return;
    case "expire":
    case "place":
      farm.live.queue.advance(now);
      return;
    default:
  }
}
