// A pool's log in JetStream: a chain of streams, see log-parts.ts. Every append carries the
// sequence that it expects to follow, so the server itself refuses a leader that has been
// overtaken. Nothing is ever repeated: an append whose outcome is unclear ends the leader, and the
// replay tells.

import type { JetStreamClient, NatsConnection } from "nats";
import type { FarmEvent } from "../core/events.js";
import type { EventLog, OnTurn } from "../ports.js";
import { answered } from "./answers.js";
import { whileConnected } from "./connection.js";
import { encodeContinuation, encodeTurn } from "./event-codec.js";
import {
  endBehind,
  endOf,
  type LogStreams,
  listParts,
  logSequence,
  type Part,
  partOf,
  partWith,
  streamSequence,
} from "./log-parts.js";
import { readLog } from "./log-reader.js";
import { asker, deleteStream, openStream, type StoreOptions, type StreamWish } from "./streams.js";

/** An fsynced append takes milliseconds; one that takes this long has an unclear outcome. */
const writeMsMax = 5_000;

/**
 * Opens the pool's log, which is made if need be. Throws UNAVAILABLE when JetStream does not
 * answer.
 */
export async function openEventLog(
  connection: NatsConnection,
  pool: string,
  { replicas = 1 }: StoreOptions = {},
): Promise<EventLog> {
  const manager = await answered(asker(connection));
  const parts = await answered(listParts(manager, pool));
  const newest = parts.at(-1) ?? partOf(pool, 1);
  await answered(openStream(connection, wishFor(newest, replicas)));
  return new StreamLog({ connection, manager, pool }, replicas);
}

class StreamLog implements EventLog {
  readonly #log: LogStreams;
  readonly #replicas: number;
  readonly #client: JetStreamClient;
  /** Where turns are appended, known once the log was replayed. */
  #current: Part | undefined;
  /** What is written now: a turn, or the end of a part. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(log: LogStreams, replicas: number) {
    this.#log = log;
    this.#replicas = replicas;
    this.#client = log.connection.jetstream({ timeout: writeMsMax });
  }

  async replay(after: number, onTurn: OnTurn): Promise<number> {
    const { connection } = this.#log;
    const { part, last } = await this.#ask(() => endBehind(this.#log, after));
    await this.#ask(() => openStream(connection, wishFor(part, this.#replicas)));
    await readLog(this.#log, { after, until: last, onTurn, signal: undefined });
    this.#current = part;
    return last;
  }

  follow(after: number, onTurn: OnTurn, signal: AbortSignal): Promise<void> {
    return readLog(this.#log, { after, until: Number.POSITIVE_INFINITY, onTurn, signal });
  }

  append(events: readonly FarmEvent[], afterSequence: number): Promise<number> {
    return this.#inTurn(async () => {
      const part = await this.#part(afterSequence);
      const lastSequence = streamSequence(part, afterSequence);
      const bytes = encodeTurn(events);
      const expect = { lastSequence };
      const { seq } = await this.#client.publish(part.subject, bytes, { expect });
      return logSequence(part, seq);
    });
  }

  /** Gives up whole parts: all before the one that holds the turn, which then takes no more. */
  async cut(sequence: number): Promise<void> {
    const { connection, manager, pool } = this.#log;
    const holder = await this.#ask(() => partWith(manager, pool, sequence));
    if (sequence < 1 || holder === null) return; // it is gone
    for (const part of await this.#ask(() => listParts(manager, pool))) {
      if (part.first < holder.first) await this.#ask(() => deleteStream(connection, part.stream));
    }
    if (holder.first === this.#current?.first) await this.#inTurn(() => this.#endPart(holder));
  }

  async extent(): Promise<{ readonly turns: number; readonly bytes: number }> {
    const { manager, pool } = this.#log;
    const parts = await this.#ask(() => listParts(manager, pool));
    const infos = await this.#ask(() =>
      Promise.all(parts.map(({ stream }) => manager.streams.info(stream))),
    );
    const sum = (field: "messages" | "bytes") =>
      infos.reduce((total, { state }) => total + state[field], 0);
    return { turns: sum("messages") - (parts.length - 1), bytes: sum("bytes") };
  }

  /** The next part is there before this one says so, and nobody else writes to it until then. */
  async #endPart(part: Part): Promise<void> {
    const { connection, manager, pool } = this.#log;
    const { last, next: successor } = await endOf(manager, part);
    if (last < part.first || successor !== null) return;
    const next = partOf(pool, last + 1);
    await openStream(connection, wishFor(next, this.#replicas));
    const lastSequence = streamSequence(part, last);
    const bytes = encodeContinuation(next.first);
    await this.#client.publish(part.subject, bytes, { expect: { lastSequence } });
    this.#current = next;
  }

  async #part(afterSequence: number): Promise<Part> {
    this.#current ??= (await endBehind(this.#log, afterSequence)).part;
    return this.#current;
  }

  /** One write after the other. */
  #inTurn<T>(write: () => Promise<T>): Promise<T> {
    const writing = this.#writing.then(() => this.#ask(write));
    this.#writing = writing.catch(() => {}); // whoever asked for it is told
    return writing;
  }

  #ask<T>(ask: () => Promise<T>): Promise<T> {
    return answered(whileConnected(this.#log.connection, ask));
  }
}

function wishFor({ stream, subject }: Part, replicas: number): StreamWish {
  return { name: stream, subject, replicas };
}
