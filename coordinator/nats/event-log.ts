// A pool's log in a JetStream stream. Every append carries the sequence that it expects to follow,
// so the server itself refuses a leader that has been overtaken. Nothing is ever repeated: an
// append whose outcome is unclear ends the leader, and the replay tells.

import {
  consumerOpts,
  type JetStreamClient,
  type JetStreamManager,
  type NatsConnection,
  NatsError,
  RetentionPolicy,
  StorageType,
} from "nats";
import { FarmError } from "../../common/errors.js";
import type { EventLog } from "../ports.js";
import { decodeTurn, encodeTurn } from "./event-codec.js";

/** An fsynced append takes milliseconds; one that takes this long has an unclear outcome. */
const appendMsMax = 5_000;

/** JetStream's code for a sequence other than the expected one. */
const wrongLastSequence = 10071;

const streamNotFound = 10059;

/**
 * Opens the pool's stream, which is made if need be. Throws UNAVAILABLE when JetStream does not
 * answer.
 */
export async function openEventLog(connection: NatsConnection, pool: string): Promise<EventLog> {
  const stream = `TOCAFARM_${pool}`;
  const subject = `tocafarm.${pool}.events`;
  const manager = await answered(connection.jetstreamManager());
  await answered(ensureStream(manager, stream, subject));
  const client = connection.jetstream();
  return {
    replay: (onTurn) => answered(replay(manager, client, { stream, subject }, onTurn)),
    append: async (events, afterSequence) => {
      const { seq } = await answered(
        client.publish(subject, encodeTurn(events), {
          expect: { lastSequence: afterSequence },
          timeout: appendMsMax,
        }),
      );
      return seq;
    },
  };
}

async function ensureStream(
  manager: JetStreamManager,
  stream: string,
  subject: string,
): Promise<void> {
  try {
    await manager.streams.info(stream);
  } catch (error) {
    if (!(error instanceof NatsError) || error.api_error?.err_code !== streamNotFound) throw error;
    await manager.streams.add({
      name: stream,
      subjects: [subject],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      deny_delete: true,
      deny_purge: true,
    });
  }
}

async function replay(
  manager: JetStreamManager,
  client: JetStreamClient,
  { stream, subject }: { readonly stream: string; readonly subject: string },
  onTurn: Parameters<EventLog["replay"]>[0],
): Promise<number> {
  const { state } = await manager.streams.info(stream);
  if (state.messages === 0) return state.last_seq;
  if (state.first_seq !== 1) {
    throw new FarmError(
      "IO",
      `the log ${stream} begins at ${state.first_seq}; its start is missing`,
    );
  }
  const options = consumerOpts().orderedConsumer().deliverAll().bindStream(stream);
  const messages = await client.subscribe(subject, options);
  for await (const message of messages) {
    onTurn(decodeTurn(message.data), message.seq);
    if (message.seq >= state.last_seq) return message.seq; // leaving the loop unsubscribes
  }
  throw new FarmError("UNAVAILABLE", `the replay of ${stream} ended early`);
}

/** What NATS throws, as UNAVAILABLE: whatever it was, this leader cannot go on. */
async function answered<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof FarmError) throw error;
    const overtaken = error instanceof NatsError && error.api_error?.err_code === wrongLastSequence;
    const reason = error instanceof Error ? error.message : String(error);
    const message = overtaken
      ? "another coordinator has written to the log"
      : `the log does not answer: ${reason}`;
    throw new FarmError("UNAVAILABLE", message, { cause: error });
  }
}
