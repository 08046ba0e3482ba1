// A pool's log is a chain of streams. nats-server gives up the head of a stream by writing the
// block that holds the rest anew and renaming it, without an fsync: a power cut soon afterwards can
// take acknowledged messages (2.12.8, seen in test/integration/nats-power-cut.test.ts). So no
// message of a log is ever purged. A part ends with a message that says where the log goes on, and
// is deleted as a whole when nobody needs it.
//
// That last message is appended like a turn, by a leader that expects to be the only one: who was
// overtaken cannot end a part, and who did not see the end cannot append behind it.

import type { JetStreamManager, NatsConnection, StreamState } from "nats";
import { FarmError } from "../../common/errors.js";
import { isStreamNotFound } from "./answers.js";
import { decodeMessage } from "./event-codec.js";

/** Where the streams of a pool's log are. */
export interface LogStreams {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly pool: string;
}

/** One stream of the chain. */
export interface Part {
  /** The log's sequence of the stream's first message, by which the part is named. */
  readonly first: number;
  readonly stream: string;
  readonly subject: string;
}

/** The part that begins with the turn `first`; a name of a pool has no "@". */
export function partOf(pool: string, first: number): Part {
  if (first === 1) return { first, stream: `TOCAFARM_${pool}`, subject: `tocafarm.${pool}.events` };
  const stream = `TOCAFARM_${pool}@${first}`;
  return { first, stream, subject: `tocafarm.${pool}.events.${first}` };
}

/** Sequence in the part's stream of the log's turn `sequence`, and back. */
export function streamSequence({ first }: Part, sequence: number): number {
  return sequence - first + 1;
}

export function logSequence({ first }: Part, streamSequence: number): number {
  return streamSequence + first - 1;
}

/** Every part that is there, oldest first; the newest may be one that nobody has written to yet. */
export async function listParts(manager: JetStreamManager, pool: string): Promise<readonly Part[]> {
  const base = partOf(pool, 1).stream;
  const found: Part[] = [];
  for (const subject of [partOf(pool, 1).subject, `${partOf(pool, 1).subject}.*`]) {
    for await (const stream of manager.streams.names(subject)) {
      const first = stream === base ? 1 : Number(stream.slice(base.length + 1));
      found.push(partOf(pool, first));
    }
  }
  return found.sort((a, b) => a.first - b.first);
}

export interface PartEnd {
  /** The log's newest turn in the part; `first` - 1 when it has none. */
  readonly last: number;
  /** Where the log goes on; null = this part is the last one. */
  readonly next: number | null;
}

/** Where the part ends now. Throws IO when its head is missing. */
export async function endOf(manager: JetStreamManager, part: Part): Promise<PartEnd> {
  const state = await stateOf(manager, part);
  if (state === null) return { last: part.first - 1, next: null }; // the leader who made it died
  if (state.first_seq > 1) {
    const message = `the log ${part.stream} begins at ${state.first_seq}; its start is missing`;
    throw new FarmError("IO", message);
  }
  if (state.messages === 0) return { last: part.first - 1, next: null };
  const newest = await manager.streams.getMessage(part.stream, { seq: state.last_seq });
  const message = decodeMessage(newest.data);
  const last = logSequence(part, state.last_seq);
  return message.type === "turn" ? { last, next: null } : { last: last - 1, next: message.first };
}

/** The part that holds turn `sequence`, or the last one before it; null = the turn was given up. */
export async function partWith(
  manager: JetStreamManager,
  pool: string,
  sequence: number,
): Promise<Part | null> {
  const parts = await listParts(manager, pool);
  // A leader that was overtaken may have left a part that the log never went on to: it is empty.
  for (const part of parts.filter(({ first }) => first <= sequence).reverse()) {
    if ((await stateOf(manager, part))?.messages) return part;
  }
  return parts.find(({ first }) => first === 1) ?? null;
}

/** The part in which the log ends, found from the turn behind `after`. */
export async function endBehind(
  log: LogStreams,
  after: number,
): Promise<{ readonly part: Part; readonly last: number }> {
  const { manager, pool } = log;
  let part = await partBehind(log, after);
  for (;;) {
    const { last, next } = await endOf(manager, part);
    if (next !== null) part = partOf(pool, next);
    // A server that has just joined its cluster may be behind, and will not be for long.
    else if (last < after) {
      throw new FarmError("UNAVAILABLE", `the log ends at ${last}, before ${after}`);
    } else return { part, last };
  }
}

/** The part with the turn behind `after`, or with the word where the log goes on from there. */
export async function partBehind({ manager, pool }: LogStreams, after: number): Promise<Part> {
  const part = await partWith(manager, pool, after + 1);
  if (part === null) throw new FarmError("IO", `the log's turns behind ${after} were cut off`);
  return part;
}

async function stateOf(manager: JetStreamManager, { stream }: Part): Promise<StreamState | null> {
  try {
    return (await manager.streams.info(stream)).state;
  } catch (error) {
    if (isStreamNotFound(error)) return null;
    throw error;
  }
}
