// One life of a replica: a standby first, and perhaps the leader then, over one state that grows
// without a break. When the leader is overtaken the life ends with it, and its state, which may
// hold what never came into the log, is seen by nobody again.

import { setMaxListeners } from "node:events";
import { FarmError } from "../common/errors.js";
import type { Command, Decision } from "./core/commands.js";
import type { FarmEvent } from "./core/events.js";
import type { Farm } from "./core/farm.js";
import type { Rules } from "./core/rules.js";
import type { State } from "./core/state.js";
import { Follower } from "./follower.js";
import type { Leader } from "./leader.js";
import type { Life, Turn } from "./ports.js";

interface Waiter {
  readonly sequence: number;
  readonly resolve: () => void;
}

export class ReplicaLife implements Life {
  /** Of the snapshot that it began with, 0 = none. */
  readonly snapshotSequence: number;
  readonly #follower: Follower;
  readonly #over = new AbortController();
  readonly #listeners = new Set<(turn: Turn) => void>();
  readonly #waiters = new Set<Waiter>();
  #leader: Leader | undefined;
  #sequence: number;

  /** Begins with a state that was read from the log. */
  constructor(state: State, snapshotSequence: number, rules: Rules) {
    this.snapshotSequence = snapshotSequence;
    this.#follower = new Follower(state, rules);
    this.#sequence = state.sequence;
    setMaxListeners(0, this.#over.signal); // every stream of an agent or a watcher listens
  }

  get leads(): boolean {
    return this.#leader !== undefined && !this.over.aborted;
  }

  get sequence(): number {
    return this.#sequence;
  }

  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** The state that a leader may go on with. */
  get state(): State {
    return this.#follower.state;
  }

  get term(): number {
    return (this.#leader ?? this.#follower).term;
  }

  now(): number {
    return (this.#leader ?? this.#follower).now();
  }

  async command(command: Command): Promise<Decision> {
    this.over.throwIfAborted();
    return (this.#leader ?? this.#follower).command(command);
  }

  async query<T>(read: (farm: Farm) => T): Promise<T> {
    this.over.throwIfAborted();
    return (this.#leader ?? this.#follower).query(read);
  }

  onTurn(listener: (turn: Turn) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  reached(sequence: number, signal: AbortSignal): Promise<void> {
    if (this.#sequence >= sequence) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiters.delete(waiter);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        sequence,
        resolve: () => {
          signal.removeEventListener("abort", abort);
          resolve();
        },
      };
      if (signal.aborted) {
        abort();
        return;
      }
      this.#waiters.add(waiter);
      signal.addEventListener("abort", abort, { once: true });
    });
  }

  /** A turn that another one wrote. */
  fold(events: readonly FarmEvent[], sequence: number): void {
    this.#follower.fold(events, sequence);
    this.#tell({ sequence, commands: [], events, effects: [] });
  }

  /** From now on the leader, which holds the same state, answers. */
  lead(leader: Leader): void {
    this.#leader = leader;
    leader.onTurn((turn) => this.#tell(turn));
    const { sequence, term } = { sequence: this.state.sequence, term: leader.term };
    const event: FarmEvent = { type: "LeaderStarted", at: this.state.at, term };
    this.#tell({ sequence, commands: [], events: [event], effects: [] });
  }

  end(reason: FarmError): void {
    this.#over.abort(new FarmError("UNAVAILABLE", reason.message, { cause: reason }));
  }

  #tell(turn: Turn): void {
    this.#sequence = turn.sequence;
    for (const listener of this.#listeners) listener(turn);
    for (const waiter of this.#waiters) {
      if (waiter.sequence > turn.sequence) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}
