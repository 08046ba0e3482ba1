// A pool's log in a JetStream stream. Every append carries the sequence that it expects to follow,
// so the server itself refuses a leader that has been overtaken. Nothing is ever repeated: an
// append whose outcome is unclear ends the leader, and the replay tells.

import type { JetStreamManager, NatsConnection } from "nats";
import { monotonicClock, sleep } from "../../common/clock.js";
import { asFarmError, FarmError } from "../../common/errors.js";
import { silentLog } from "../../common/log.js";
import type { EventLog, OnTurn } from "../ports.js";
import { answered } from "./answers.js";
import { deliver, type Interruption } from "./delivery.js";
import { decodeTurn, encodeTurn } from "./event-codec.js";
import { openStream, type StoreOptions } from "./streams.js";

/** An fsynced append takes milliseconds; one that takes this long has an unclear outcome. */
const appendMsMax = 5_000;

/** A reader tries for this long to get at the next turn: a restart or an election fits in. */
const readSilentMsMax = 30_000;
const readAgainMs = 250;

/**
 * Opens the pool's stream, which is made if need be. Throws UNAVAILABLE when JetStream does not
 * answer.
 */
export async function openEventLog(
  connection: NatsConnection,
  pool: string,
  { replicas = 1, log = silentLog }: StoreOptions = {},
): Promise<EventLog> {
  const name = `TOCAFARM_${pool}`;
  const subject = `tocafarm.${pool}.events`;
  const manager = await answered(connection.jetstreamManager());
  const config = await answered(openStream(manager, { name, subjects: [subject], replicas }));
  const client = connection.jetstream();
  const source = { connection, manager, name, subject };
  let warned = false;
  return {
    replay: async (after, onTurn) => {
      const { state } = await answered(manager.streams.info(name));
      checkReach(name, state, after);
      await readOn(source, { after, until: state.last_seq, onTurn, signal: undefined });
      return state.last_seq;
    },
    follow: (after, onTurn, signal) =>
      readOn(source, { after, until: Number.POSITIVE_INFINITY, onTurn, signal }),
    append: async (events, afterSequence) => {
      const publishing = client.publish(subject, encodeTurn(events), {
        expect: { lastSequence: afterSequence },
        timeout: appendMsMax,
      });
      return (await answered(publishing)).seq;
    },
    cut: async (sequence) => {
      // Version 0.1 made streams that can never be cut, and the server does not let go of that.
      if (!config.deny_purge) await answered(manager.streams.purge(name, { seq: sequence + 1 }));
      else if (!warned) log.warn({ stream: name }, "the log forbids cuts, so it only grows");
      warned = true;
    },
    extent: async () => {
      const { state } = await answered(manager.streams.info(name));
      return { turns: state.messages, bytes: state.bytes };
    },
  };
}

interface Source {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly name: string;
  readonly subject: string;
}

interface Reading {
  readonly after: number;
  readonly until: number;
  readonly onTurn: OnTurn;
  readonly signal: AbortSignal | undefined;
}

/**
 * Hands over the turns behind `after` up to `until`, each once and none left out, by as many
 * deliveries as it takes. Throws UNAVAILABLE when the server stays silent for 30 s, IO when the
 * next turn is gone.
 */
async function readOn(source: Source, { after, until, onTurn, signal }: Reading): Promise<void> {
  const { connection, manager, name, subject } = source;
  let sequence = after;
  const onMessage = (data: Uint8Array, at: number): boolean => {
    if (at !== sequence + 1) {
      throw new FarmError("IO", `the log ${name} has turn ${at} behind ${sequence}`);
    }
    onTurn(decodeTurn(data), at);
    sequence = at;
    return at >= until;
  };
  let heardMs = monotonicClock.now();
  while (sequence < until && !signal?.aborted) {
    const endless = until === Number.POSITIVE_INFINITY;
    const delivery = { stream: name, subject, from: sequence + 1, endless, onMessage, signal };
    const interruption =
      (await obstacle(source, sequence)) ?? (await deliver(connection, manager, delivery));
    if (interruption === null) return;
    heardMs = interruption.heardMs ?? heardMs;
    if (monotonicClock.now() - heardMs > readSilentMsMax) throw interruption.error;
    await sleep(readAgainMs);
  }
}

/** What keeps a reader from going on behind `after`, if it may pass; throws IO if it cannot. */
async function obstacle({ manager, name }: Source, after: number): Promise<Interruption | null> {
  try {
    const { state } = await answered(manager.streams.info(name));
    checkReach(name, state, after);
    return null;
  } catch (thrown) {
    const error = asFarmError(thrown);
    if (error.code !== "UNAVAILABLE") throw error;
    return { error, heardMs: null };
  }
}

/** Throws when the turns behind `after` are not all there. */
function checkReach(
  name: string,
  { first_seq, last_seq }: { readonly first_seq: number; readonly last_seq: number },
  after: number,
): void {
  if (after + 1 < first_seq) {
    throw new FarmError(
      "IO",
      `the log ${name} begins at ${first_seq}; turns behind ${after} are cut`,
    );
  }
  // A server that has just joined its cluster may be behind, and will not be for long.
  if (after > last_seq) {
    throw new FarmError("UNAVAILABLE", `the log ${name} ends at ${last_seq}, before ${after}`);
  }
}
