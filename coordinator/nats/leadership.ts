// Who tries to write a pool's log: whoever holds one key. The holder renews it each second; one who
// has seen the same revision for 3 s takes it by compare-and-set. No clock is shared and none is
// read but the monotonic one, and what a read says is only a hint (a copy may be behind): the
// compare-and-set decides. The log itself refuses an overtaken leader, so this key only spares two
// coordinators the quarrel.
//
// Why the numbers are safe: a claim counts for 2.5 s from the moment before its renewal was sent.
// Another one can have seen its revision only later than that, and then waits 3 s. So the holder
// stops 0.5 s before anybody may follow, however long messages take; two monotonic clocks do not
// drift that far apart in 3 s.

import { type KV, type NatsConnection, NatsError } from "nats";
import { monotonicClock, sleep } from "../../common/clock.js";
import { asFarmError, FarmError } from "../../common/errors.js";
import { type Log, silentLog } from "../../common/log.js";
import type { LeaderInfo, Leadership, Reign } from "../ports.js";
import { answered } from "./answers.js";
import { whileConnected } from "./connection.js";
import type { StoreOptions } from "./streams.js";

const renewMs = 1_000;

/** From before the newest confirmed renewal was sent. */
const claimMs = 2_500;

/** Without a change, by the clock of who looks. */
const silentMs = 3_000;

/** How often one who waits looks. */
const lookMs = 200;

/** A read or a renewal that takes longer is given up; the next one may find a better way. */
const answerMsMax = 800;

const key = "leader";

interface Seat {
  readonly connection: NatsConnection;
  readonly bucket: KV;
  readonly self: LeaderInfo;
  readonly log: Log;
  /** Keeps who leads for those who ask. */
  readonly note: (leader: LeaderInfo | null) => void;
}

/** Opens the pool's key. Throws UNAVAILABLE when JetStream does not answer. */
export async function openLeadership(
  connection: NatsConnection,
  pool: string,
  { replicas = 1, log = silentLog }: StoreOptions = {},
): Promise<Leadership> {
  const name = `tocafarm_${pool}`;
  await answered(connection.jetstream().views.kv(name, { replicas, history: 1 }));
  // Bound to the bucket without asking for more, reads go to the stream's leader.
  const hasty = connection.jetstream({ timeout: answerMsMax });
  const bucket = await answered(hasty.views.kv(name, { bindOnly: true }));
  let leader: LeaderInfo | null = null;
  const note = (info: LeaderInfo | null): void => {
    leader = info;
  };
  return {
    campaign: (self, signal) => campaign({ connection, bucket, self, log, note }, signal),
    leader: () => leader,
  };
}

async function campaign(seat: Seat, signal: AbortSignal): Promise<Reign> {
  let seen = { revision: -1, sinceMs: 0 };
  for (;;) {
    signal.throwIfAborted();
    const holding = await look(seat);
    if (holding !== null) {
      const { revision, leader } = holding;
      seat.note(leader);
      if (seen.revision !== revision) seen = { revision, sinceMs: monotonicClock.now() };
      const isFree = leader === null || leader.id === seat.self.id;
      if (isFree || monotonicClock.now() - seen.sinceMs >= silentMs) {
        const claim = await take(seat, revision);
        if (claim !== null) return claim;
      }
    }
    await sleep(lookMs, signal);
  }
}

interface Holding {
  readonly revision: number;
  /** null = nobody. */
  readonly leader: LeaderInfo | null;
}

/** What the key says; null when it cannot be read now. */
async function look({ connection, bucket }: Seat): Promise<Holding | null> {
  try {
    const entry = await whileConnected(connection, () => bucket.get(key));
    if (entry === null) return { revision: 0, leader: null };
    return { revision: entry.revision, leader: entry.operation === "PUT" ? entry.json() : null };
  } catch (error) {
    assertFromNats(error);
    return null; // whoever looks does so again, and acts on what was read only
  }
}

/** Takes the key if it still has this revision; null when that failed or is unclear. */
async function take(seat: Seat, revision: number): Promise<Claim | null> {
  const sentMs = monotonicClock.now();
  try {
    const taken = await write(seat, revision);
    seat.note(seat.self);
    return new Claim(seat, taken, sentMs);
  } catch (error) {
    assertFromNats(error);
    return null; // the next look tells who has it
  }
}

/** Resolves to the new revision, if the key still had this one. */
function write({ connection, bucket, self }: Seat, revision: number): Promise<number> {
  const value = JSON.stringify(self);
  return whileConnected(connection, () => bucket.put(key, value, { previousSeq: revision }));
}

/** What the server or the way to it does is expected here; our own mistakes are not. */
function assertFromNats(error: unknown): void {
  const isExpected = error instanceof NatsError || asFarmError(error).code === "UNAVAILABLE";
  if (!isExpected) throw error;
}

/** A reign, renewed until it is lost or given up. */
class Claim implements Reign {
  readonly lost: Promise<never>;
  readonly #seat: Seat;
  readonly #ended = new AbortController();
  readonly #renewing: Promise<void>;
  #revision: number;
  #overdue: NodeJS.Timeout;
  #reject: (error: FarmError) => void = () => {};

  constructor(seat: Seat, revision: number, sentMs: number) {
    this.#seat = seat;
    this.#revision = revision;
    this.lost = new Promise((_, reject) => {
      this.#reject = reject;
    });
    this.lost.catch(() => {}); // whoever leads listens too
    this.#overdue = this.#alarmAt(sentMs + claimMs);
    this.#renewing = this.#renew(sentMs);
  }

  async resign(): Promise<void> {
    if (this.#ended.signal.aborted) return;
    this.#end();
    await this.#renewing;
    try {
      await this.#seat.bucket.delete(key, { previousSeq: this.#revision });
    } catch (error) {
      this.#seat.log.warn({ err: error }, "the claim to lead lapses by itself in 3 s");
    }
  }

  async #renew(firstSentMs: number): Promise<void> {
    let nextMs = firstSentMs + renewMs;
    while (await this.#lastsUntil(nextMs)) {
      const sentMs = monotonicClock.now();
      const renewed = await this.#renewOnce();
      if (renewed && !this.#ended.signal.aborted) {
        clearTimeout(this.#overdue);
        this.#overdue = this.#alarmAt(sentMs + claimMs);
      }
      nextMs = sentMs + (renewed ? renewMs : lookMs);
    }
  }

  async #renewOnce(): Promise<boolean> {
    const { self } = this.#seat;
    try {
      this.#revision = await write(this.#seat, this.#revision);
      return true;
    } catch (error) {
      assertFromNats(error);
      // It may be stored all the same, or somebody else has come: what stands there tells.
      const holding = await look(this.#seat);
      if (holding === null || holding.revision < this.#revision) return false;
      if (holding.leader?.id === self.id) this.#revision = holding.revision;
      else this.#lose("another coordinator has taken the claim to lead");
      return false;
    }
  }

  /** Waits; false when the reign has ended meanwhile. */
  #lastsUntil(timeMs: number): Promise<boolean> {
    const waitMs = Math.max(timeMs - monotonicClock.now(), 0);
    return sleep(waitMs, this.#ended.signal).then(
      () => true,
      () => false,
    );
  }

  #alarmAt(timeMs: number): NodeJS.Timeout {
    const message = `the claim to lead was not renewed within ${claimMs / 1000} s`;
    return setTimeout(() => this.#lose(message), timeMs - monotonicClock.now());
  }

  #lose(message: string): void {
    if (this.#ended.signal.aborted) return;
    this.#end();
    this.#reject(new FarmError("UNAVAILABLE", message));
  }

  #end(): void {
    clearTimeout(this.#overdue);
    this.#ended.abort();
    this.#seat.note(null);
  }
}
