// A standby's view of the farm: the fold of the log that it follows. It knows nothing that is not
// in the log: who is connected and how far a running attempt is, only the leader hears.

import { type Clock, steadyWallClock } from "../common/clock.js";
import { FarmError } from "../common/errors.js";
import { apply } from "./core/apply.js";
import type { Decision } from "./core/commands.js";
import type { FarmEvent } from "./core/events.js";
import { type Farm, openFarm } from "./core/farm.js";
import type { Rules } from "./core/rules.js";
import { emptyState, type State } from "./core/state.js";
import type { FarmPort } from "./ports.js";

export class Follower implements Omit<FarmPort, "onTurn"> {
  readonly state: State;
  readonly #farm: Farm;
  readonly #clock: Clock;

  constructor(state: State, rules: Rules) {
    this.state = state;
    this.#clock = steadyWallClock(state.at);
    // The memory of a farm in which nobody has come yet.
    this.#farm = { ...openFarm(emptyState(), rules, state.at), state };
  }

  get term(): number {
    return this.state.term;
  }

  now(): number {
    return this.#clock.now();
  }

  fold(events: readonly FarmEvent[], sequence: number): void {
    for (const event of events) apply(this.state, event, sequence);
  }

  async command(): Promise<Decision> {
    throw new FarmError("UNAVAILABLE", "this coordinator is a standby; ask the leader");
  }

  async query<T>(read: (farm: Farm) => T): Promise<T> {
    return read(this.#farm);
  }
}
