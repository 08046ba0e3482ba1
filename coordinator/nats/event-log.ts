// A pool's log in JetStream: a chain of streams, see log-parts.ts. Every append carries the sequence that it expects to follow,
// so the server itself refuses a leader that has been overtaken. Nothing is ever repeated: an
// append whose outcome is unclear ends the leader, and the replay tells.

import type { JetStreamClient, JetStreamManager, NatsConnection } from "nats";
import { monotonicClock, sleep } from "../../common/clock.js";
import { asFarmError, FarmError } from "../../common/errors.js";
import type { FarmEvent } from "../core/events.js";
import type { EventLog, OnTurn } from "../ports.js";
import { answered } from "./answers.js";
import { whileConnected } from "./connection.js";
import { deliver, type Interruption } from "./delivery.js";
import { decodeMessage, encodeContinuation, encodeTurn } from "./event-codec.js";
import {
  endOf,
  listParts,
  logSequence,
  type Part,
  partOf,
  partWith,
  streamSequence,
} from "./log-parts.js";
import { openStream, type StoreOptions, type StreamWish } from "./streams.js";

/** An fsynced append takes milliseconds; one that takes this long has an unclear outcome. */
const writeMsMax = 5_000;

/** A reader tries for this long to get at the next turn: a restart or an election fits in. */
const readSilentMsMax = 30_000;
const readAgainMs = 250;

interface Source {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly pool: string;
}

/**
 * Opens the pool's log, which is made if need be. Throws UNAVAILABLE when JetStream does not
 * answer.
 */
export async function openEventLog(
  connection: NatsConnection,
  pool: string,
  { replicas = 1 }: StoreOptions = {},
): Promise<EventLog> {
  const manager = await answered(connection.jetstreamManager());
  if ((await answered(listParts(manager, pool))).length === 0) {
    await answered(openStream(manager, streamOf(partOf(pool, 1), replicas)));
  }
  return new StreamLog({ connection, manager, pool }, replicas);
}

class StreamLog implements EventLog {
  readonly #source: Source;
  readonly #replicas: number;
  readonly #client: JetStreamClient;
  /** Where turns are appended, known once the log was replayed. */
  #current: Part | undefined;
  /** What is written now: a turn, or the end of a part. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(source: Source, replicas: number) {
    this.#source = source;
    this.#replicas = replicas;
    this.#client = source.connection.jetstream({ timeout: writeMsMax });
  }

  async replay(after: number, onTurn: OnTurn): Promise<number> {
    const { manager } = this.#source;
    const { part, last } = await this.#ask(() => endBehind(this.#source, after));
    await this.#ask(() => openStream(manager, streamOf(part, this.#replicas)));
    await readOn(this.#source, { after, until: last, onTurn, signal: undefined });
    this.#current = part;
    return last;
  }

  follow(after: number, onTurn: OnTurn, signal: AbortSignal): Promise<void> {
    return readOn(this.#source, { after, until: Number.POSITIVE_INFINITY, onTurn, signal });
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
    const { manager, pool } = this.#source;
    const holder = await this.#ask(() => partWith(manager, pool, sequence));
    if (sequence < 1 || holder === null) return; // it is gone
    for (const part of await this.#ask(() => listParts(manager, pool))) {
      if (part.first < holder.first) await this.#ask(() => manager.streams.delete(part.stream));
    }
    if (holder.first === this.#current?.first) await this.#inTurn(() => this.#endPart(holder));
  }

  async extent(): Promise<{ readonly turns: number; readonly bytes: number }> {
    const { manager, pool } = this.#source;
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
    const { manager, pool } = this.#source;
    const { last, next: successor } = await endOf(manager, part);
    if (last < part.first || successor !== null) return;
    const next = partOf(pool, last + 1);
    await openStream(manager, streamOf(next, this.#replicas));
    const lastSequence = streamSequence(part, last);
    const bytes = encodeContinuation(next.first);
    await this.#client.publish(part.subject, bytes, { expect: { lastSequence } });
    this.#current = next;
  }

  async #part(afterSequence: number): Promise<Part> {
    this.#current ??= (await endBehind(this.#source, afterSequence)).part;
    return this.#current;
  }

  /** One write after the other. */
  #inTurn<T>(write: () => Promise<T>): Promise<T> {
    const writing = this.#writing.then(() => this.#ask(write));
    this.#writing = writing.catch(() => {}); // whoever asked for it is told
    return writing;
  }

  #ask<T>(ask: () => Promise<T>): Promise<T> {
    return answered(whileConnected(this.#source.connection, ask));
  }
}

function streamOf({ stream, subject }: Part, replicas: number): StreamWish {
  return { name: stream, subjects: [subject], replicas };
}

/** The part in which the log ends, found from the turn behind `after`. */
async function endBehind(
  source: Source,
  after: number,
): Promise<{ readonly part: Part; readonly last: number }> {
  const { manager, pool } = source;
  let part = await partBehind(source, after);
  for (;;) {
    const { last, next } = await endOf(manager, part);
    if (next !== null) part = partOf(pool, next);
    // A server that has just joined its cluster may be behind, and will not be for long.
    else if (last < after) {
      throw new FarmError("UNAVAILABLE", `the log ends at ${last}, before ${after}`);
    } else return { part, last };
  }
}

interface Reading {
  readonly after: number;
  readonly until: number;
  readonly onTurn: OnTurn;
  readonly signal: AbortSignal | undefined;
}

interface Position {
  /** Of the newest turn that was handed over. */
  sequence: number;
  /** The one with the next turn; null = not found yet. */
  part: Part | null;
}

/**
 * Hands over the turns behind `after` up to `until`, each once and none left out, by as many
 * deliveries as it takes. Throws UNAVAILABLE when the server stays silent for 30 s, IO when the
 * next turn is gone.
 */
async function readOn(source: Source, reading: Reading): Promise<void> {
  const position: Position = { sequence: reading.after, part: null };
  let heardMs = monotonicClock.now();
  while (position.sequence < reading.until && !reading.signal?.aborted) {
    const before = position.sequence;
    const interruption = await readPart(source, position, reading);
    if (position.sequence > before) heardMs = monotonicClock.now();
    if (interruption === null) continue; // the part ended, or the reading
    position.part = null;
    heardMs = interruption.heardMs ?? heardMs;
    const isOver = source.connection.isClosed();
    if (isOver || monotonicClock.now() - heardMs > readSilentMsMax) throw interruption.error;
    await sleep(readAgainMs);
  }
}

async function readPart(
  source: Source,
  position: Position,
  { until, onTurn, signal }: Reading,
): Promise<Interruption | null> {
  try {
    if (position.part === null) {
      const finding = whileConnected(source.connection, async () => {
        await endBehind(source, position.sequence); // throws when the log is shorter
        return partBehind(source, position.sequence);
      });
      position.part = await answered(finding);
    }
  } catch (thrown) {
    const error = asFarmError(thrown);
    if (error.code !== "UNAVAILABLE") throw error;
    return { error, heardMs: null };
  }
  const { connection, manager, pool } = source;
  const { part } = position;
  return deliver(connection, manager, {
    stream: part.stream,
    subject: part.subject,
    from: streamSequence(part, position.sequence + 1),
    endless: until === Number.POSITIVE_INFINITY,
    signal,
    onMessage: (data, at) => {
      if (logSequence(part, at) !== position.sequence + 1) {
        throw new FarmError("IO", `${part.stream} has no message before ${at}, turns are missing`);
      }
      const message = decodeMessage(data);
      if (message.type === "continuation") {
        position.part = partOf(pool, message.first);
        return true;
      }
      position.sequence += 1;
      onTurn(message.events, position.sequence);
      return position.sequence >= until;
    },
  });
}

/** The part with the turn behind `after`, or with the word where the log goes on from there. */
async function partBehind({ manager, pool }: Source, after: number): Promise<Part> {
  const part = await partWith(manager, pool, after + 1);
  if (part === null) throw new FarmError("IO", `the log's turns behind ${after} were cut off`);
  return part;
}
