// Messages of a stream in their order, by the server's batched direct get: any server that has a
// copy answers, and no consumer has to be made. (The pull consumer of the client hung in replays; a
// push consumer is as fast as this, but in a cluster it may be put on a server that has just died,
// which costs seconds and many tries.) A copy may be behind, so an empty answer is no end.

import { createInbox, type Msg, type NatsConnection } from "nats";
import { FarmError } from "../../common/errors.js";
import { whileConnected } from "./connection.js";

/** Of one answer: the stream takes no writes while the server puts it together. */
const batchBytesMax = 4 * 1024 * 1024;
const batchMessagesMax = 10_000;

/** Between two messages of an answer, or before the first. */
const silentMsMax = 2_000;

const endOfBatch = 204;
const notFound = 404;

/**
 * The next messages from sequence `from` on, without a gap; none when there are none yet. Throws
 * UNAVAILABLE when no server answers, IO when messages are missing.
 */
export function readBatch(
  connection: NatsConnection,
  stream: string,
  from: number,
): Promise<readonly Uint8Array[]> {
  return whileConnected(connection, () => ask(connection, stream, from));
}

function ask(
  connection: NatsConnection,
  stream: string,
  from: number,
): Promise<readonly Uint8Array[]> {
  const inbox = createInbox();
  const request = { seq: from, batch: batchMessagesMax, max_bytes: batchBytesMax };
  return new Promise((resolve, reject) => {
    const messages: Uint8Array[] = [];
    const settle = (end: () => void) => {
      clearTimeout(silence);
      subscription.unsubscribe();
      end();
    };
    const fail = (error: FarmError) => settle(() => reject(error));
    const subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error) {
          fail(unavailable(stream, error.message));
        } else if (message.data.length > 0) {
          messages.push(message.data);
          silence.refresh();
        } else {
          const missing = problemOf(stream, from, messages.length, message);
          if (missing) fail(missing);
          else settle(() => resolve(messages));
        }
      },
    });
    const silence = setTimeout(() => fail(unavailable(stream, "no answer came")), silentMsMax);
    const subject = `$JS.API.DIRECT.GET.${stream}`;
    connection.publish(subject, JSON.stringify(request), { reply: inbox });
  });
}

/** What is wrong with an answer of `count` messages that ends so; null = nothing. */
function problemOf(stream: string, from: number, count: number, end: Msg): FarmError | null {
  const code = end.headers?.code ?? 0;
  if (code === notFound) return null;
  if (code !== endOfBatch) return unavailable(stream, `${code} ${end.headers?.description ?? ""}`);
  const last = Number(end.headers?.get("Nats-Last-Sequence"));
  if (last === from + count - 1) return null;
  const message = `${stream} has ${count} messages from ${from} to ${last}; some are missing`;
  return new FarmError("IO", message);
}

function unavailable(stream: string, reason: string): FarmError {
  return new FarmError("UNAVAILABLE", `${stream} cannot be read: ${reason}`);
}
