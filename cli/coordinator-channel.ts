// The way to a farm's coordinators, whichever of them is there: a call that finds none is tried
// again for a while, at each of their addresses in turn, so that a leader's end is a pause and not
// an error. Only for calls that may be carried out twice.
import { backoffMs } from "../common/backoff.js";
import { monotonicClock, sleep } from "../common/clock.js";
import { FarmError } from "../common/errors.js";
import { createClient, toFarmError } from "../common/rpc.js";
import { RenderFarmClient } from "../proto/gen/tocafarm/v1/farm.js";

/** A standby leads within 5 s, and then its workers come back to it. */
export const patienceMs = 8_000;

/** A coordinator that hangs is as bad as one that died, and no better known. */
const silenceMsMax = 5_000;
const retryBackoff = { baseMs: 200, maxMs: 2_000 };

/** Downloads that take minutes may break as often as this; then the way is no way. */
const breaksMax = 5;

/**
 * For how long a call that fails is tried again. A try that went on for longer than patience lasts
 * was a download that broke, so patience begins anew. Pure: time comes in.
 */
export class Patience {
  #sinceMs: number;
  #breaks = 0;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** Whether to try again after a try that began then and has failed now. */
  lasts(beganMs: number, nowMs: number): boolean {
    if (nowMs - beganMs > patienceMs && this.#breaks < breaksMax) {
      this.#breaks += 1;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs <= patienceMs;
  }
}

export interface ChannelOptions {
  /** HOST:PORT, several, or where to find them, which is asked again when nobody answers. */
  readonly addresses: string | readonly string[] | (() => readonly string[]);
  /** Hears once per call that nobody answers and that it is tried again. */
  readonly onAway?: ((line: string) => void) | undefined;
}

export class CoordinatorChannel {
  readonly #find: () => readonly string[];
  readonly #onAway: ((line: string) => void) | undefined;
  readonly #clients = new Map<string, RenderFarmClient>();
  #addresses: readonly string[];
  #at = 0;

  /** Throws what looking for the addresses throws. */
  constructor({ addresses, onAway }: ChannelOptions) {
    const fixed = typeof addresses === "string" ? [addresses] : addresses;
    this.#find = typeof fixed === "function" ? fixed : () => fixed;
    this.#onAway = onAway;
    this.#addresses = this.#find();
  }

  /** Of the address whose turn it is; connects when it is used. */
  get client(): RenderFarmClient {
    const address = this.#addresses[this.#at % this.#addresses.length] ?? "";
    const known = this.#clients.get(address);
    if (known) return known;
    const client = createClient(RenderFarmClient, address, { silenceMsMax });
    this.#clients.set(address, client);
    return client;
  }

  /** It is the next address's turn; one that started again on its folder may have another one. */
  turn(): void {
    this.#at += 1;
    try {
      this.#addresses = this.#find();
    } catch (error) {
      if (toFarmError(error).code !== "UNAVAILABLE") throw error;
    }
  }

  /** Throws UNAVAILABLE when nobody has answered for `patienceMs`, and any other error at once. */
  async call<T>(work: (client: RenderFarmClient) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const patience = new Patience(monotonicClock.now());
    for (let attempt = 1; ; attempt += 1) {
      const beganMs = monotonicClock.now();
      try {
        return await work(this.client);
      } catch (thrown) {
        signal?.throwIfAborted();
        const error = toFarmError(thrown);
        if (error.code !== "UNAVAILABLE") throw error;
        if (!patience.lasts(beganMs, monotonicClock.now())) throw this.explained(error);
        if (attempt === 1) this.#onAway?.(`${this.#nobody(error)}; trying again for a while`);
        this.turn();
        await sleep(backoffMs(attempt, Math.random(), retryBackoff), signal);
      }
    }
  }

  /** The error with what a user can do. */
  explained(cause: FarmError): FarmError {
    return new FarmError(
      "UNAVAILABLE",
      `${this.#nobody(cause)}: start one with "tocafarm up", or name another with ` +
        "--coordinator HOST:PORT",
      { cause },
    );
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #nobody({ message }: FarmError): string {
    // gRPC wraps the system's words into its own.
    const reason = /connect [A-Z]+ \S+?(?=\.?(?:\s|$))/.exec(message)?.[0] ?? message;
    return `no coordinator answers at ${this.#addresses.join(" or ")} (${reason})`;
  }
}
