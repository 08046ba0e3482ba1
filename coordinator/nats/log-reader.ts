// Reads a pool's log over all its parts, each turn once and none left out, whatever the connection
// and the servers do meanwhile.

import type { NatsConnection } from "nats";
import { monotonicClock, sleep } from "../../common/clock.js";
import { FarmError } from "../../common/errors.js";
import type { OnTurn } from "../ports.js";
import { answered } from "./answers.js";
import { whileConnected } from "./connection.js";
import { readBatch } from "./direct-reads.js";
import { decodeMessage } from "./event-codec.js";
import {
  endBehind,
  type LogStreams,
  type Part,
  partBehind,
  partOf,
  streamSequence,
} from "./log-parts.js";

/** A reader tries for this long to get at the next turn: a restart or an election fits in. */
const silentMsMax = 30_000;

/** How often a reader that has had everything looks for more. */
const lookMs = 100;

export interface Reading {
  readonly after: number;
  /** Last sequence that is wanted; infinite = those to come too. */
  readonly until: number;
  readonly onTurn: OnTurn;
  readonly signal: AbortSignal | undefined;
}

/**
 * Hands over the turns behind `after` up to `until`. Throws UNAVAILABLE when the next one cannot be
 * had for 30 s (a reader without end needs only an answer), IO when it is gone.
 */
export async function readLog(log: LogStreams, reading: Reading): Promise<void> {
  const { after, until, onTurn, signal } = reading;
  const reader = new Reader(log, after);
  const mayWait = until === Number.POSITIVE_INFINITY;
  let heardMs = monotonicClock.now();
  while (reader.sequence < until && !signal?.aborted) {
    const { messages, error } = await reader.next();
    const nowMs = monotonicClock.now();
    if (messages.length > 0 || (mayWait && error === null)) heardMs = nowMs;
    if (log.connection.isClosed() || nowMs - heardMs > silentMsMax) {
      throw error ?? unavailable(`turn ${reader.sequence + 1} of the log does not come`);
    }
    for (const message of messages) {
      if (reader.sequence >= until || signal?.aborted) return;
      reader.take(message, onTurn);
    }
    if (messages.length === 0) await sleep(lookMs);
  }
}

interface Answer {
  readonly messages: readonly Uint8Array[];
  /** UNAVAILABLE: another try makes sense. */
  readonly error: FarmError | null;
}

/** A place in the log, and the batch behind it that was asked for in advance. */
class Reader {
  /** Of the newest turn that was handed over. */
  sequence: number;
  readonly #log: LogStreams;
  /** The part with the next turn; null = to be found. */
  #part: Part | null = null;
  #ahead: { readonly from: number; readonly answer: ReturnType<typeof readBatch> } | null = null;

  constructor(log: LogStreams, after: number) {
    this.#log = log;
    this.sequence = after;
  }

  async next(): Promise<Answer> {
    try {
      this.#part ??= await find(this.#log, this.sequence);
      return { messages: await this.#batch(this.#log.connection, this.#part), error: null };
    } catch (thrown) {
      if (!(thrown instanceof FarmError) || thrown.code !== "UNAVAILABLE") throw thrown;
      this.#part = null;
      this.#ahead = null;
      return { messages: [], error: thrown };
    }
  }

  async #batch(connection: NatsConnection, part: Part): Promise<readonly Uint8Array[]> {
    const from = streamSequence(part, this.sequence + 1);
    const asked = this.#ahead?.from === from ? this.#ahead.answer : null;
    this.#ahead = null;
    const messages = await (asked ?? readBatch(connection, part.stream, from));
    if (messages.length > 0) {
      const answer = readBatch(connection, part.stream, from + messages.length);
      answer.catch(() => {}); // thrown when it is its turn
      this.#ahead = { from: from + messages.length, answer };
    }
    return messages;
  }

  take(bytes: Uint8Array, onTurn: OnTurn): void {
    const message = decodeMessage(bytes);
    if (message.type === "turn") {
      this.sequence += 1;
      onTurn(message.events, this.sequence);
    } else {
      this.#part = partOf(this.#log.pool, message.first);
      this.#ahead = null;
    }
  }
}

function find(log: LogStreams, after: number): Promise<Part> {
  const finding = whileConnected(log.connection, async () => {
    await endBehind(log, after); // throws when the log is shorter than what was read
    return partBehind(log, after);
  });
  return answered(finding);
}

function unavailable(message: string): FarmError {
  return new FarmError("UNAVAILABLE", message);
}
