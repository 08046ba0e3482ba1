// The one writer of a pool's log. Commands are gathered while an append is in flight and then
// decided together: one message, one fsync, however many agents talk at once. Nothing is answered,
// sent or shown before it is in the log; when an append goes wrong, this leader is over, and its
// process begins again with a replay.

import { type Clock, steadyWallClock } from "../common/clock.js";
import { asFarmError, FarmError } from "../common/errors.js";
import type { Log } from "../common/log.js";
import { apply } from "./core/apply.js";
import type { Command, Decision, Effect } from "./core/commands.js";
import type { Rules } from "./core/decide.js";
import type { FarmEvent } from "./core/events.js";
import { type Farm, handle, openFarm } from "./core/farm.js";
import { eventsPerTurnMax } from "./core/placement.js";
import { emptyState } from "./core/state.js";
import type { EventLog, FarmPort, Turn } from "./ports.js";

/** Leases expire and retries come due within this time. */
const tickMs = 100;

/** Commands that may wait for the log; an agent sends at most a few a second. */
const commandsWaitingMax = 50_000;

/** Far below the 1 MiB of a NATS message, since the last command of a turn comes on top. */
const turnBytesMax = 256 * 1024;

export interface LeaderOptions {
  readonly eventLog: EventLog;
  readonly rules: Rules;
  readonly log: Log;
}

interface Waiting {
  readonly command: Command;
  readonly resolve: (decision: Decision) => void;
  readonly reject: (error: FarmError) => void;
}

interface Decided {
  readonly waiting: Waiting;
  readonly decision: Decision;
}

export class Leader implements FarmPort {
  readonly #eventLog: EventLog;
  readonly #farm: Farm;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #commands: Waiting[] = [];
  readonly #reads: (() => void)[] = [];
  readonly #listeners = new Set<(turn: Turn) => void>();
  readonly #ticker: NodeJS.Timeout;
  #tickDue = true;
  #turning: Promise<void> | undefined;
  #ended: FarmError | undefined;
  #reportBroken: (error: FarmError) => void = () => {};

  /** Rejects when this leader can write no longer. */
  readonly broken: Promise<never>;

  /** Replays the log and begins a new term. Throws UNAVAILABLE when another one writes. */
  static async open({ eventLog, rules, log }: LeaderOptions): Promise<Leader> {
    const state = emptyState();
    const startedMs = performance.now();
    let events = 0;
    const sequence = await eventLog.replay((turn, at) => {
      for (const event of turn) apply(state, event, at);
      events += turn.length;
    });
    const clock = steadyWallClock(state.at);
    const now = clock.now();
    const started: FarmEvent = { type: "LeaderStarted", at: now, term: state.term + 1 };
    apply(state, started, await eventLog.append([started], sequence));
    const seconds = (performance.now() - startedMs) / 1000;
    log.info({ term: state.term, events, sequence, seconds }, "leading");
    return new Leader(openFarm(state, rules, now), clock, eventLog, log);
  }

  private constructor(farm: Farm, clock: Clock, eventLog: EventLog, log: Log) {
    this.#farm = farm;
    this.#clock = clock;
    this.#eventLog = eventLog;
    this.#log = log;
    this.broken = new Promise((_, reject) => {
      this.#reportBroken = reject;
    });
    this.broken.catch(() => {}); // whoever runs this leader listens too
    this.#ticker = setInterval(() => this.#tick(), tickMs);
  }

  get term(): number {
    return this.#farm.state.term;
  }

  now(): number {
    return this.#clock.now();
  }

  command(command: Command): Promise<Decision> {
    if (this.#ended) return Promise.reject(this.#ended);
    if (this.#commands.length >= commandsWaitingMax) {
      const message = `${commandsWaitingMax} commands wait for the log; try again later`;
      return Promise.reject(new FarmError("RESOURCE_EXHAUSTED", message));
    }
    return new Promise((resolve, reject) => {
      this.#commands.push({ command, resolve, reject });
      this.#turn();
    });
  }

  async query<T>(read: (farm: Farm) => T): Promise<T> {
    if (this.#ended) throw this.#ended;
    if (!this.#turning) return read(this.#farm);
    return new Promise((resolve, reject) => {
      this.#reads.push(() => {
        try {
          if (this.#ended) reject(this.#ended);
          else resolve(read(this.#farm));
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  onTurn(listener: (turn: Turn) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes no more commands; what is in flight is still answered. */
  async stop(): Promise<void> {
    clearInterval(this.#ticker);
    this.#ended ??= new FarmError("UNAVAILABLE", "the coordinator is stopping; try again later");
    await this.#turning;
    for (const { reject } of this.#commands.splice(0)) reject(this.#ended);
  }

  #tick(): void {
    this.#tickDue = true;
    this.#turn();
  }

  #turn(): void {
    if (this.#turning || this.#ended) return;
    this.#turning = this.#run().then(
      () => this.#idle(),
      (thrown: unknown) => this.#break(asFarmError(thrown)),
    );
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // commands of the same moment go together
    while ((this.#commands.length > 0 || this.#tickDue) && !this.#ended) await this.#oneTurn();
  }

  async #oneTurn(): Promise<void> {
    const sequence = this.#farm.state.sequence + 1;
    const now = this.#clock.now();
    const events: FarmEvent[] = [];
    const effects: Effect[] = [];
    const decide = (command: Command): Decision => {
      const decision = handle(this.#farm, command, now, sequence);
      events.push(...decision.events);
      effects.push(...decision.effects);
      return decision;
    };
    const decided = this.#decideWaiting(decide, events);
    if (this.#tickDue) decide({ type: "expire" });
    this.#tickDue = false;
    decide({ type: "place" });
    if (events.length > 0) {
      try {
        await this.#eventLog.append(events, sequence - 1);
      } catch (error) {
        for (const { waiting } of decided) waiting.reject(asFarmError(error));
        throw error;
      }
    }
    const commands = decided.map(({ waiting }) => waiting.command);
    this.#tell({ sequence: this.#farm.state.sequence, commands, events, effects });
    for (const { waiting, decision } of decided) waiting.resolve(decision);
    this.#readNow();
  }

  /** As many of the waiting commands as one log message takes. */
  #decideWaiting(decide: (command: Command) => Decision, events: readonly FarmEvent[]): Decided[] {
    const decided: Decided[] = [];
    let bytes = 0;
    while (events.length < eventsPerTurnMax && bytes < turnBytesMax) {
      const waiting = this.#commands.shift();
      if (!waiting) break;
      const decision = decide(waiting.command);
      for (const event of decision.events) bytes += JSON.stringify(event).length;
      decided.push({ waiting, decision });
    }
    return decided;
  }

  #tell(turn: Turn): void {
    if (turn.commands.length === 0 && turn.events.length === 0) return;
    for (const listener of this.#listeners) listener(turn);
  }

  /** Everything in the state is in the log at this moment. */
  #readNow(): void {
    for (const read of this.#reads.splice(0)) read();
  }

  #idle(): void {
    this.#turning = undefined;
    this.#readNow();
    if (this.#commands.length > 0) this.#turn();
  }

  #break(error: FarmError): void {
    this.#log.error({ err: error }, "this coordinator leads no longer");
    clearInterval(this.#ticker);
    this.#ended = new FarmError(
      "UNAVAILABLE",
      `the coordinator has lost its log: ${error.message}`,
    );
    this.#turning = undefined;
    for (const { reject } of this.#commands.splice(0)) reject(this.#ended);
    this.#readNow();
    this.#reportBroken(error.code === "UNAVAILABLE" ? error : this.#ended);
  }
}
