// A coordinator process: it stands by, takes the claim to lead when its holder has been silent,
// folds the log, and begins a term in it; from then on a leader of its own answers. Its wall clock
// may jump, it may be cut off from the log's server, stopped or killed.

import { apply } from "../coordinator/core/apply.js";
import type { Command, Decision, Effect } from "../coordinator/core/commands.js";
import type { FarmEvent } from "../coordinator/core/events.js";
import type { Farm } from "../coordinator/core/farm.js";
import { decodeState } from "../coordinator/core/snapshot.js";
import { emptyState, type State } from "../coordinator/core/state.js";
import type { Connection, LeaseMessage, UpMessage } from "./connection.js";
import { Desk } from "./desk.js";
import { type Answer, type Handle, SimulatedLeader } from "./leader.js";
import type { SimulatedLog, SimulatedSeat } from "./log.js";
import { SimulatedProcess } from "./process.js";
import type { Random } from "./random.js";
import type { Timeline } from "./timeline.js";

const renewalMs = 1_000;
const lookMs = 250;
/** A standby that saw no renewal for this long takes over; a leader without one is over. */
const silenceMs = 3_000;
/** Reading and folding one turn of the log. */
const replayMsPerTurn = 0.02;
/** Virtual wall clocks begin here: 2026-01-01. */
export const wallEpochMs = 1_767_225_600_000;

export type LeaseGranted = Extract<FarmEvent, { readonly type: "LeaseGranted" }>;

/** What a coordinator needs of the world. */
export interface CoordinatorWorld {
  readonly timeline: Timeline;
  readonly log: SimulatedLog;
  readonly seat: SimulatedSeat;
  readonly handle: Handle;
  openFarm(state: State, now: number): Farm;
  onDecided(command: Command, decision: Decision, farm: Farm): void;
  /** A turn is in the log and told to whom it concerns. */
  onTurn(events: readonly FarmEvent[], effects: readonly Effect[], farm: Farm): void;
  /** What a lease that the log holds means for its agent. */
  leaseMessage(event: LeaseGranted, farm: Farm): LeaseMessage;
}

interface Reign {
  readonly leader: SimulatedLeader;
  readonly desk: Desk;
}

export class SimulatedCoordinator {
  readonly index: number;
  readonly process: SimulatedProcess;
  readonly #world: CoordinatorWorld;
  readonly #random: Random;
  #reign: Reign | null = null;
  /** It holds the claim, and leads or is about to. */
  #claiming = false;
  /** What was begun under an earlier claim is void. */
  #claims = 0;
  #cutOff = false;
  #wallOffsetMs = 0;
  #clockBaseMs = 0;
  #seenRevision = -1;
  #seenAtMs = 0;
  #renewedAtMs = 0;

  constructor(index: number, world: CoordinatorWorld, random: Random) {
    this.index = index;
    this.#world = world;
    this.#random = random;
    this.process = new SimulatedProcess(world.timeline);
  }

  /** Undefined while it does not lead. */
  get leader(): SimulatedLeader | undefined {
    return this.#reign?.leader;
  }

  /** It leads, and can hear and answer. */
  get hears(): boolean {
    return this.#reign !== null && !this.#cutOff && this.process.awake;
  }

  start(): void {
    this.process.start();
    this.#look();
  }

  crash(): void {
    this.#giveUp();
    this.process.kill();
  }

  setCutOff(cutOff: boolean): void {
    this.#cutOff = cutOff;
  }

  stepClock(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** Answers once the command's events are in the log; null: it may or may not be done. */
  command(command: Command, answer: Answer): void {
    if (this.#reign === null) answer(null);
    else this.#reign.leader.command(command, answer);
  }

  onMessage(connection: Connection, message: UpMessage): void {
    if (this.#reign !== null) {
      this.#reign.desk.onMessage(connection, message);
      return;
    }
    connection.sendDown({ type: "redirect", leader: this.#world.seat.holder });
    connection.close("down");
  }

  onClosed(connection: Connection): void {
    this.#reign?.desk.onClosed(connection);
  }

  /** Looks after the claim to lead, a few times a second. */
  #look(): void {
    const { seat, timeline } = this.#world;
    this.process.after(lookMs * this.#random.between(0.9, 1.1), () => this.#look());
    const silentMs = timeline.nowMs - (this.#claiming ? this.#renewedAtMs : this.#seenAtMs);
    if (this.#claiming) {
      const lost = !this.#cutOff && seat.holder !== this.index;
      if (lost || silentMs > silenceMs) this.#giveUp();
      else if (!this.#cutOff && silentMs >= renewalMs) this.#claim();
    } else if (this.#cutOff) {
      this.#seenAtMs = timeline.nowMs; // what it does not see is no silence
    } else if (seat.revision !== this.#seenRevision) {
      this.#seenRevision = seat.revision;
      this.#seenAtMs = timeline.nowMs;
    } else if (seat.holder === null || silentMs >= silenceMs) {
      if (this.#claim()) this.#open(++this.#claims);
    }
  }

  #claim(): boolean {
    const { seat, timeline } = this.#world;
    this.#claiming = seat.claim(seat.revision, this.index);
    this.#renewedAtMs = timeline.nowMs;
    return this.#claiming;
  }

  /** It leads no longer: nobody waits for an answer, agents are hung up. */
  #giveUp(): void {
    this.#claiming = false;
    this.#claims += 1;
    this.#reign?.leader.stop();
    this.#reign?.desk.close();
    this.#reign = null;
    this.#seenRevision = -1;
  }

  /** Folds the log, and begins a term in it. */
  #open(claim: number): void {
    const { log, timeline } = this.#world;
    const state = this.#replay();
    const wallMs = wallEpochMs + timeline.nowMs + this.#wallOffsetMs;
    this.#clockBaseMs = Math.max(wallMs, state.at) - timeline.nowMs;
    const after = log.last;
    this.process.after((after - (log.snapshot?.sequence ?? 0)) * replayMsPerTurn, () => {
      if (claim !== this.#claims) return;
      const at = this.#now();
      const started: FarmEvent = { type: "LeaderStarted", at, term: state.term + 1 };
      log.append([started], after, this.#reaches, (outcome) =>
        this.process.reach(() => {
          if (claim !== this.#claims) return;
          if (outcome === "unknown") this.#giveUp();
          else if (outcome === "refused") this.#open(++this.#claims);
          else {
            apply(state, started, after + 1);
            this.#lead(state);
          }
        }),
      );
    });
  }

  #lead(state: State): void {
    const { log, handle } = this.#world;
    const leader = new SimulatedLeader({
      farm: this.#world.openFarm(state, this.#now()),
      log,
      process: this.process,
      handle,
      now: () => this.#now(),
      reaches: this.#reaches,
      onDecided: (command, decision, farm) => this.#world.onDecided(command, decision, farm),
      onTurn: (events, effects) => this.#tell(events, effects),
      onBroken: () => this.#giveUp(),
    });
    this.#reign = { leader, desk: new Desk(leader) };
  }

  /** From the newest snapshot, or from the beginning where all of the log is there. */
  #replay(): State {
    const { log } = this.#world;
    const { snapshot } = log;
    const whole = snapshot === null || (log.cutAt === 0 && this.#random.chance(0.5));
    const state = whole ? emptyState() : decodeState(snapshot.text);
    for (const [events, sequence] of log.read(whole ? 0 : snapshot.sequence)) {
      for (const event of events) apply(state, event, sequence);
    }
    return state;
  }

  #tell(events: readonly FarmEvent[], effects: readonly Effect[]): void {
    if (this.#reign === null) return;
    const { leader, desk } = this.#reign;
    for (const event of events) {
      if (event.type !== "LeaseGranted") continue;
      desk.send(event.worker, {
        type: "lease",
        lease: this.#world.leaseMessage(event, leader.farm),
      });
    }
    for (const effect of effects) {
      if (effect.type === "superseded") continue;
      if (effect.type === "try_device") {
        const { device, id } = effect;
        desk.send(effect.worker, { type: "canary", device, id });
        continue;
      }
      const type = effect.type === "stop_attempt" ? "stop" : "cut";
      desk.send(effect.worker, { type, ref: effect.ref });
    }
    this.#world.onTurn(events, effects, leader.farm);
  }

  readonly #reaches = (): boolean => !this.#cutOff;

  #now(): number {
    return Math.floor(this.#clockBaseMs + this.#world.timeline.nowMs);
  }
}
