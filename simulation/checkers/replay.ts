// The state that grew, the state that a replay of the log gives, and the state that a snapshot
// gives back are one and the same, in all that a leader will ever ask of it.

import { apply } from "../../coordinator/core/apply.js";
import { decodeState, encodeState } from "../../coordinator/core/snapshot.js";
import { emptyState, type State } from "../../coordinator/core/state.js";
import type { SimulatedLog } from "../log.js";
import { promised } from "./violation.js";

/** Holds a state all of which is in the log against the log; the answer is its snapshot. */
export function checkReplay(state: State, log: SimulatedLog): string {
  const grown = encodeState(state);
  const thawed = decodeState(grown);
  checkSame("through a snapshot", grown, encodeState(thawed));
  if (log.cutAt === 0) checkSame("replayed", grown, encodeState(fold(emptyState(), log, 0)));
  const { snapshot } = log;
  if (snapshot !== null) {
    const resumed = fold(decodeState(snapshot.text), log, snapshot.sequence);
    checkSame("replayed behind a snapshot", grown, encodeState(resumed));
  }
  return grown;
}

function fold(state: State, log: SimulatedLog, after: number): State {
  for (const [events, sequence] of log.read(after)) {
    for (const event of events) apply(state, event, sequence);
  }
  return state;
}

/** Long texts: only the place where they part is told. */
function checkSame(how: string, grown: string, other: string): void {
  promised(grown === other, "a replay gives the same state", () => {
    let place = 0;
    while (grown[place] === other[place]) place += 1;
    const [from, to] = [Math.max(0, place - 80), place + 80];
    return `${how}: ...${grown.slice(from, to)}... but ...${other.slice(from, to)}...`;
  });
}
