// The one writer of the log around the real core, as coordinator/leader.ts in virtual time:
// commands are gathered while an append is in flight and then decided together, and nothing is
// answered or sent before it is in the log.

import type { Command, Decision, Effect } from "../coordinator/core/commands.js";
import type { FarmEvent } from "../coordinator/core/events.js";
import type { Farm } from "../coordinator/core/farm.js";
import { eventsPerTurnMax } from "../coordinator/core/placement.js";
import type { AppendOutcome, SimulatedLog } from "./log.js";
import type { SimulatedProcess } from "./process.js";

/** Leases expire and retries come due within this time. */
const tickMs = 100;

/** How the core is called: the real one, or one with a mistake that a checker must find. */
export type Handle = (farm: Farm, command: Command, now: number, sequence: number) => Decision;

export interface LeaderOptions {
  readonly farm: Farm;
  readonly log: SimulatedLog;
  readonly process: SimulatedProcess;
  readonly handle: Handle;
  /** Milliseconds since 1970 that never go back. */
  readonly now: () => number;
  /** Whether the log's server is within reach. */
  readonly reaches: () => boolean;
  /** A command was decided; its events are in no log yet. */
  readonly onDecided: (command: Command, decision: Decision, farm: Farm) => void;
  /** A turn is in the log. */
  readonly onTurn: (events: readonly FarmEvent[], effects: readonly Effect[]) => void;
  /** Somebody else has written, or an append's outcome is unknown: this leader is over. */
  readonly onBroken: () => void;
}

/** Null: the command may or may not be done. */
export type Answer = (decision: Decision | null) => void;

interface Waiting {
  readonly command: Command;
  readonly answer: Answer;
}

interface Decided {
  readonly answer: Answer;
  readonly decision: Decision;
}

interface DecidedTurn {
  readonly events: FarmEvent[];
  readonly effects: Effect[];
  readonly decided: Decided[];
}

export class SimulatedLeader {
  readonly #options: LeaderOptions;
  #commands: Waiting[] = [];
  #tickDue = true;
  #turning = false;
  #ended = false;

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#tick();
  }

  get farm(): Farm {
    return this.#options.farm;
  }

  /** Its clock, in milliseconds since 1970. */
  get now(): number {
    return this.#options.now();
  }

  /** All that the farm knows is in the log. */
  get settled(): boolean {
    return !this.#turning;
  }

  /** Answers once the command's events are in the log. */
  command(command: Command, answer: Answer): void {
    if (this.#ended) {
      answer(null);
      return;
    }
    this.#commands.push({ command, answer });
    this.#turnSoon();
  }

  /** Whoever waits is told that nothing is known. */
  stop(): void {
    this.#ended = true;
    for (const { answer } of this.#commands.splice(0)) answer(null);
  }

  #tick(): void {
    if (this.#ended) return;
    this.#tickDue = true;
    this.#turnSoon();
    this.#options.process.after(tickMs, () => this.#tick());
  }

  /** Commands of the same moment go together. */
  #turnSoon(): void {
    if (this.#turning) return;
    this.#turning = true;
    this.#options.process.after(0, () => this.#turn());
  }

  #turn(): void {
    if (this.#ended) return;
    const { farm, log, process, reaches } = this.#options;
    const sequence = farm.state.sequence + 1;
    const turn = this.#decide(sequence);
    if (turn.events.length === 0) {
      this.#conclude(turn);
      return;
    }
    log.append(turn.events, sequence - 1, reaches, (outcome) =>
      process.reach(() => this.#appended(turn, outcome)),
    );
  }

  #decide(sequence: number): DecidedTurn {
    const { farm, handle, onDecided } = this.#options;
    const now = this.#options.now();
    const turn: DecidedTurn = { events: [], effects: [], decided: [] };
    const decide = (command: Command): Decision => {
      const decision = handle(farm, command, now, sequence);
      turn.events.push(...decision.events);
      turn.effects.push(...decision.effects);
      onDecided(command, decision, farm);
      return decision;
    };
    let taken = 0;
    for (const { command, answer } of this.#commands) {
      if (turn.events.length >= eventsPerTurnMax) break;
      turn.decided.push({ answer, decision: decide(command) });
      taken += 1;
    }
    this.#commands = taken === this.#commands.length ? [] : this.#commands.slice(taken);
    if (this.#tickDue) decide({ type: "expire" });
    this.#tickDue = false;
    decide({ type: "place" });
    return turn;
  }

  #appended(turn: DecidedTurn, outcome: AppendOutcome): void {
    if (this.#ended) return;
    if (outcome === "written") {
      this.#conclude(turn);
      return;
    }
    for (const { answer } of turn.decided) answer(null);
    this.#options.onBroken();
  }

  #conclude({ events, effects, decided }: DecidedTurn): void {
    this.#turning = false;
    this.#options.onTurn(events, effects);
    for (const { answer, decision } of decided) answer(decision);
    if (!this.#ended && this.#commands.length > 0) this.#turnSoon();
  }
}
