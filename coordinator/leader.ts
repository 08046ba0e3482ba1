// The one writer of a pool's log. Commands are gathered while an append is in flight and then
// decided together: one message, one fsync, however many agents talk at once. Nothing is answered,
// sent or shown before it is in the log; when an append goes wrong, this leader is over, and its
// state, which may hold what never came into the log, goes with it.

import { type Clock, monotonicClock, steadyWallClock } from "../common/clock.js";
import { asFarmError, FarmError } from "../common/errors.js";
import type { Log } from "../common/log.js";
import { apply } from "./core/apply.js";
import type { Command, Decision, Effect } from "./core/commands.js";
import type { FarmEvent } from "./core/events.js";
import { type Farm, handle, openFarm } from "./core/farm.js";
import { eventsPerTurnMax } from "./core/placement.js";
import type { Rules } from "./core/rules.js";
import type { State } from "./core/state.js";
import { eventBytesMax } from "./event-bytes.js";
import type { EventLog, FarmPort, Turn } from "./ports.js";

/** Leases expire and retries come due within this time. */
const tickMs = 100;

/** Commands that may wait for the log; an agent sends at most a few a second. */
const commandsWaitingMax = 50_000;

/** Far below the 1 MiB of a NATS message, since the last command of a turn comes on top. */
const turnBytesMax = 256 * 1024;

export interface LeaderOptions {
  readonly eventLog: EventLog;
  /** Folded up to the log's end; the leader's own from now on. */
  readonly state: State;
  readonly rules: Rules;
  readonly log: Log;
  /**
   * A process that stood still for longer than this is out of date: another one may lead, agents
   * were not heard. It answers nothing more, and a new reign begins with what the log says.
   */
  readonly stillMsMax: number;
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
  readonly #stillMsMax: number;
  #tickedMs = monotonicClock.now();
  #tickDue = true;
  #turning: Promise<void> | undefined;
  #ended: FarmError | undefined;
  #reportBroken: (error: FarmError) => void = () => {};

  /** Rejects when this leader can write no longer. */
  readonly broken: Promise<never>;

  /** Begins a new term. Throws UNAVAILABLE when another one has written, or the log is silent. */
  static async begin(options: LeaderOptions): Promise<Leader> {
    const { eventLog, state } = options;
    const clock = steadyWallClock(state.at);
    const started: FarmEvent = { type: "LeaderStarted", at: clock.now(), term: state.term + 1 };
    apply(state, started, await eventLog.append([started], state.sequence));
    return new Leader(options, clock);
  }

  private constructor({ eventLog, state, rules, log, stillMsMax }: LeaderOptions, clock: Clock) {
    this.#farm = openFarm(state, rules, clock.now());
    this.#clock = clock;
    this.#eventLog = eventLog;
    this.#log = log;
    this.#stillMsMax = stillMsMax;
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
    this.#checkAwake();
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
    this.#checkAwake();
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

  /** Takes no more commands; what is in flight is still answered, from what the log says. */
  async stop(reason: FarmError): Promise<void> {
    this.#end(reason);
    await this.#turning;
  }

  #tick(): void {
    this.#checkAwake();
    this.#tickedMs = monotonicClock.now();
    this.#tickDue = true;
    this.#turn();
  }

  /** Whoever was stopped, or had no processor, cannot know what others did meanwhile. */
  #checkAwake(): void {
    const stillMs = monotonicClock.now() - this.#tickedMs;
    if (stillMs <= this.#stillMsMax) return;
    const seconds = (stillMs / 1000).toFixed(1);
    const message = `the coordinator stood still for ${seconds} s; its memory is out of date`;
    this.#break(new FarmError("UNAVAILABLE", message));
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
    try {
      if (this.#tickDue) decide({ type: "expire" });
      this.#tickDue = false;
      decide({ type: "place" });
      if (events.length > 0) await this.#eventLog.append(events, sequence - 1);
    } catch (error) {
      for (const { waiting } of decided) waiting.reject(asFarmError(error));
      throw error;
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
    for (const waiting of this.#commands) {
      if (events.length >= eventsPerTurnMax || bytes >= turnBytesMax) break;
      const decision = decide(waiting.command);
      for (const event of decision.events) bytes += eventBytesMax(event);
      decided.push({ waiting, decision });
    }
    this.#commands.splice(0, decided.length); // at once: a shift for each moves all the others
    return decided;
  }

  #tell(turn: Turn): void {
    const { commands, events, effects } = turn;
    if (commands.length === 0 && events.length === 0 && effects.length === 0) return;
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
    this.#turning = undefined;
    if (this.#ended) return;
    this.#log.warn({ err: error }, "this coordinator leads no longer");
    this.#end(new FarmError("UNAVAILABLE", `the coordinator leads no longer: ${error.message}`));
    this.#reportBroken(error.code === "UNAVAILABLE" ? error : asFarmError(this.#ended));
  }

  /** Nothing is taken or read from now on. */
  #end(reason: FarmError): void {
    clearInterval(this.#ticker);
    this.#ended ??= reason;
    for (const { reject } of this.#commands.splice(0)) reject(this.#ended);
    this.#readNow();
  }
}
