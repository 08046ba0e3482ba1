// Which coordinator an agent dials next, and when. All of them are tried in turn, a leader that was
// named at once; one that took the call and said nothing (stopped, or behind a black hole) rests
// for a while, so that it does not hold up the others. Pure: time comes in.
import { backoffMs } from "../common/backoff.js";

/** How a try has ended. */
export type DialOutcome =
  /** The link was up, and has broken. */
  | { readonly type: "broken" }
  /** Another agent has come under our name. */
  | { readonly type: "replaced" }
  /** Another one leads; "" = it does not know who. */
  | { readonly type: "redirected"; readonly leader: string }
  | { readonly type: "refused" }
  /** Nothing was said within the limit. */
  | { readonly type: "silent" };

// Each standby may think of another leader; after so many hops the list is asked again.
const hopsMax = 3;
const restMs = 10_000;
// Two agents of one name take the link from each other; more often, neither could finish anything.
const replacedMs = 10_000;
// A new leader shall see its agents within a second.
const roundBackoff = { baseMs: 100, maxMs: 1_000 };
// Enough for a healthy coordinator, and for one that is busy when it is asked again.
const welcomeBackoff = { baseMs: 2_000, maxMs: 10_000 };

export class DialOrder {
  readonly #addresses: readonly string[];
  readonly #silences = new Map<string, { readonly count: number; readonly untilMs: number }>();
  #at = 0;
  #leader: string | undefined;
  #hops = 0;
  #tried = 0;
  #rounds = 0;

  /** At least one address. */
  constructor(addresses: readonly string[]) {
    this.#addresses = addresses;
  }

  /** HOST:PORT to dial now. */
  get address(): string {
    return this.#leader ?? this.#addresses[this.#at] ?? "";
  }

  /** How long to wait there for a Welcome. */
  get welcomeMs(): number {
    const count = this.#silences.get(this.address)?.count ?? 0;
    return Math.min(welcomeBackoff.baseMs * 2 ** count, welcomeBackoff.maxMs);
  }

  /** The link is up. */
  welcomed(): void {
    this.#silences.delete(this.address);
    const known = this.#addresses.indexOf(this.address);
    if (known >= 0) this.#at = known;
    this.#hops = 0;
    this.#tried = 0;
    this.#rounds = 0;
  }

  /** Chooses the next address; returns the milliseconds to wait before it. */
  ended(outcome: DialOutcome, nowMs: number, random: number): number {
    if (outcome.type === "replaced") return replacedMs;
    if (outcome.type === "silent") this.#noteSilence(nowMs);
    else if (outcome.type === "redirected" && this.#follow(outcome.leader, nowMs)) return 0;
    this.#leader = undefined;
    const turns = this.#addresses.map((_, turn) => (this.#at + 1 + turn) % this.#addresses.length);
    this.#tried += 1;
    const awake = turns.find((turn) => !this.#rests(this.#addresses[turn] ?? "", nowMs));
    this.#at = awake ?? turns[0] ?? 0;
    if (outcome.type !== "broken" && this.#tried < this.#addresses.length) return 0;
    this.#tried = 0;
    this.#hops = 0;
    this.#rounds += 1;
    return backoffMs(this.#rounds, random, roundBackoff);
  }

  #follow(leader: string, nowMs: number): boolean {
    if (leader === "" || leader === this.address || this.#rests(leader, nowMs)) return false;
    if (this.#hops === hopsMax) return false;
    this.#hops += 1;
    this.#leader = leader;
    return true;
  }

  #noteSilence(nowMs: number): void {
    const count = (this.#silences.get(this.address)?.count ?? 0) + 1;
    this.#silences.set(this.address, { count, untilMs: nowMs + restMs });
  }

  #rests(address: string, nowMs: number): boolean {
    return (this.#silences.get(address)?.untilMs ?? 0) > nowMs;
  }
}
