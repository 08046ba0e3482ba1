// The core's one question: given what is known, which events follow a command? The answer depends
// on the arguments alone. It is worked out before anything changes; only what goes over many
// devices or attempts (place, expire) is recorded step by step, so that each step sees the one
// before. The caller appends the events to the log and only then carries out effects and answers
// anybody.

import { unreachable } from "../../common/assert.js";
import { admit } from "./admission.js";
import { type Command, type Decision, nothing } from "./commands.js";
import { expire } from "./expire.js";
import type { Known } from "./liveness.js";
import { place } from "./placement.js";
import { canaryResult, releaseDevice } from "./quarantine.js";
import { checkpoint, completed, failed, progress, welcome } from "./reports.js";
import { type Fold, newSweep } from "./sweep.js";
import {
  approve,
  cancel,
  move,
  pause,
  promote,
  reject,
  resume,
  retry,
  setPriority,
  skip,
} from "./verbs.js";
import { deviceChanged, drainWorker } from "./workers.js";

export { defaultRules, type Rules } from "./rules.js";

/** The events that follow `command` at `now`, which is not below the newest event's `at`. */
export function decide(known: Known, command: Command, now: number, fold: Fold): Decision {
  if (command.type === "expire" || command.type === "place") {
    const sweep = newSweep(known, now, fold);
    if (command.type === "expire") expire(sweep);
    else place(sweep);
    return { ...nothing, events: sweep.events, effects: sweep.effects };
  }
  const decision = answer(known, command, now);
  for (const event of decision.events) fold.apply(event);
  for (const effect of decision.effects) fold.remember(effect);
  return decision;
}

type Asked = Exclude<Command, { type: "expire" } | { type: "place" }>;

function answer(known: Known, command: Asked, now: number): Decision {
  switch (command.type) {
    case "submit":
      return admit(known, command.submission, now);
    case "cancel":
      return cancel(known, command.batch, now);
    case "pause":
      return pause(known, command, now);
    case "resume":
      return resume(known, command.batch, now);
    case "set_priority":
      return setPriority(known, command, now);
    case "move":
      return move(known, command, now);
    case "retry":
      return retry(known, command, now);
    case "skip":
      return skip(known, command, now);
    case "promote":
      return promote(known, command, now);
    case "approve":
      return approve(known, command, now);
    case "reject":
      return reject(known, command, now);
    case "drain_worker":
      return drainWorker(known, command, now);
    case "release_device":
      return releaseDevice(known, command, now);
    case "hello":
      return welcome(known, command.hello, now);
    case "progress":
      return progress(known, command, now);
    case "device":
      return deviceChanged(known, command, now);
    case "completed":
      return completed(known, command, now);
    case "failed":
      return failed(known, command, now);
    case "checkpoint":
      return checkpoint(known, command, now);
    case "canary_result":
      return canaryResult(known, command, now);
    case "gone":
      return nothing; // memory alone
    default:
      return unreachable(command);
  }
}
