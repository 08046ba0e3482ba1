// Everything that checks a world, in one place: what hangs on the log's events, and what is looked
// at from time to time. Each check throws a Violation where a promise was not kept.

import type { Command, Decision, Effect } from "../coordinator/core/commands.js";
import type { FarmEvent } from "../coordinator/core/events.js";
import type { Farm } from "../coordinator/core/farm.js";
import { Accounts } from "./checkers/accounts.js";
import { grantsChecker } from "./checkers/grants.js";
import { Idleness } from "./checkers/idleness.js";
import { Ledger } from "./checkers/ledger.js";
import { type Places, placesOf } from "./checkers/readiness.js";
import { checkReplay } from "./checkers/replay.js";
import { ReportsChecker } from "./checkers/reports.js";
import { promised } from "./checkers/violation.js";
import type { SimulatedLeader } from "./leader.js";
import type { SimulatedLog } from "./log.js";
import type { Scenario } from "./scenario.js";
import { canarySha256 } from "./store.js";

export interface WatchOptions {
  /**
   * One in so many leases is held against all that is better, and so many events lie between two
   * looks into the core's books: 1 = each.
   */
  readonly checkEvery: number;
  /** Between two looks for idle devices. */
  readonly lookMs: number;
  /** The log keeps nothing that a snapshot has. */
  readonly cutLog: boolean;
}

/** Progress is said every second, and an fsync may take its time. */
const idleMsMax = 5_000;

type DeviceReleased = Extract<FarmEvent, { readonly type: "DeviceReleased" }>;

export class Watch {
  readonly ledger = new Ledger();
  readonly reports: ReportsChecker;
  /** Kinds of which a canary was right once. */
  readonly kindsTried = new Set<string>();
  readonly #options: WatchOptions;
  readonly #places: Places;
  readonly #accounts: Accounts;
  readonly #idleness: Idleness;
  #checkedEvents = 0;

  constructor({ rules, agents, timing }: Scenario, options: WatchOptions) {
    const { ledger } = this;
    this.#options = options;
    this.#places = placesOf(agents);
    this.reports = new ReportsChecker(ledger);
    this.#accounts = new Accounts(ledger);
    const places = this.#places;
    const boundMs = idleMsMax + 20 * timing.linkMs + options.lookMs;
    this.#idleness = new Idleness({ ledger, rules, places, boundMs });
    const tiersEvery = options.checkEvery;
    const grants = grantsChecker({ ledger, rules, places, tiersEvery });
    ledger.listeners.push(grants, this.reports, this.#accounts);
  }

  /** An event has just become part of the log. */
  onLogged(event: FarmEvent, sequence: number): void {
    this.ledger.fold(event, sequence);
    if (event.type === "DeviceReleased" && event.by === "canary") this.#checkCanary(event);
  }

  /** A command was decided; its events are in no log yet. */
  onDecided(command: Command, decision: Decision, farm: Farm): void {
    this.reports.onDecided(command, decision, farm);
  }

  /** A turn of this farm's leader is in the log. */
  onTurn(effects: readonly Effect[], { state }: Farm, log: SimulatedLog): void {
    this.reports.onEffects(effects);
    // Another one may have written since; then this leader is over and does not know yet.
    if (state.sequence !== log.last) return;
    if (this.ledger.events - this.#checkedEvents < this.#options.checkEvery) return;
    this.#checkedEvents = this.ledger.events;
    this.#accounts.check(state);
  }

  /** Whether one of the devices that ask for work idles beside something that it could do. */
  lookAtDevices(nowMs: number, at: number, asking: readonly string[]): void {
    this.#idleness.look(nowMs, at, asking);
  }

  /** Whether a replay gives the state of a leader, which is kept as a snapshot then. */
  lookAtState({ farm }: SimulatedLeader, log: SimulatedLog): void {
    const { state } = farm;
    log.keepSnapshot(state.sequence, checkReplay(state, log), this.#options.cutLog);
  }

  /** All of it once more, when all is done. */
  conclude(leader: SimulatedLeader, log: SimulatedLog): void {
    this.#accounts.check(leader.farm.state);
    checkReplay(leader.farm.state, log);
  }

  #checkCanary({ worker, device, sha256 }: DeviceReleased): void {
    const kind = this.#places.get(`${worker}/${device}`)?.device.kind ?? "";
    const right = sha256 === canarySha256(kind);
    promised(right, "a canary's bits are right", () => `${worker}/${device}`);
    this.kindsTried.add(kind);
  }
}
