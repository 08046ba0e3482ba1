// Messages of a stream in their order, through a push consumer that lives for one delivery. The
// server paces itself by flow control and says by heartbeats that it is there; messages are handled
// where they arrive, without a queue. The consumer numbers what it sends, so a message that was
// lost on the way is noticed; whoever reads begins another delivery behind the last one it had.

import { randomUUID } from "node:crypto";
import {
  AckPolicy,
  DeliverPolicy,
  type JetStreamManager,
  type Msg,
  type NatsConnection,
  nanos,
  type Subscription,
} from "nats";
import { monotonicClock } from "../../common/clock.js";
import { FarmError } from "../../common/errors.js";
import { onDisconnect } from "./connection.js";

const heartbeatMs = 1_000;

/** Heartbeats that may stay away before the server counts as gone. */
const heartbeatsMissedMax = 4;

/** The server forgets a consumer that nobody has listened to for this long. */
const consumerKeptMs = 10_000;

/** Heartbeats name the number of the last message that the consumer sent. */
const lastSentHeader = "Nats-Last-Consumer";

/** A heartbeat that waits for the answer to a lost flow control request names where to. */
const stalledHeader = "Nats-Consumer-Stalled";

export interface Delivery {
  readonly stream: string;
  /** Only messages of this subject; it may end in wildcards. */
  readonly subject: string;
  /** Sequence in the stream. */
  readonly from: number;
  /** Takes the next message; true = no more are wanted. */
  /** A consumer that has nothing to send is fine; else it counts as silent. */
  readonly endless: boolean;
  readonly onMessage: (data: Uint8Array, sequence: number, subject: string) => boolean;
  readonly signal: AbortSignal | undefined;
}

/** Why a delivery ended before its time. */
export interface Interruption {
  /** UNAVAILABLE. */
  readonly error: FarmError;
  /** Monotonic time of the last message, or heartbeat where those count; null = there was none. */
  readonly heardMs: number | null;
}

/**
 * Resolves to null once `onMessage` has had enough or the signal aborts, and to an interruption
 * when the server went away or a message was lost. Throws what `onMessage` throws, and IO when the
 * stream no longer has what was asked for.
 */
export async function deliver(
  connection: NatsConnection,
  manager: JetStreamManager,
  delivery: Delivery,
): Promise<Interruption | null> {
  const { stream, subject, from, signal } = delivery;
  if (signal?.aborted) return null;
  const inbox = `_INBOX.tocafarm.${randomUUID()}`;
  const receiver = new Receiver(connection, inbox, delivery);
  const creating = manager.consumers.add(stream, {
    deliver_subject: inbox,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
    filter_subject: subject,
    ack_policy: AckPolicy.None,
    max_deliver: 1,
    flow_control: true,
    idle_heartbeat: nanos(heartbeatMs),
    inactive_threshold: nanos(consumerKeptMs),
    mem_storage: true,
    num_replicas: 1,
  });
  creating.catch((error: unknown) => receiver.interrupt(reasonOf(error), error));
  return receiver.ended;
}

/** One delivery on its way: every message is handled, or the end is told, but once. */
class Receiver {
  readonly ended: Promise<Interruption | null>;
  readonly #delivery: Delivery;
  readonly #connection: NatsConnection;
  readonly #subscription: Subscription;
  readonly #watch: NodeJS.Timeout;
  readonly #stopWatchingLink: () => void;
  #settle: (end: Promise<Interruption | null>) => void = () => {};
  /** Messages that the consumer has sent and we have had. */
  #received = 0;
  #silentBeats = 0;
  #heardMs: number | null = null;

  constructor(connection: NatsConnection, inbox: string, delivery: Delivery) {
    this.#connection = connection;
    this.#delivery = delivery;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error) this.interrupt(error.message, error);
        else this.#take(message);
      },
    });
    this.#watch = setInterval(() => this.#beat(), heartbeatMs);
    delivery.signal?.addEventListener("abort", this.#stop);
    this.#stopWatchingLink = onDisconnect(connection, () => {
      queueMicrotask(() => this.interrupt("the connection is down"));
    });
  }

  interrupt(reason: string, cause?: unknown): void {
    const message = `the reading of ${this.#delivery.stream} was interrupted: ${reason}`;
    const error = new FarmError("UNAVAILABLE", message, { cause });
    this.#end(Promise.resolve({ error, heardMs: this.#heardMs }));
  }

  readonly #stop = (): void => this.#end(Promise.resolve(null));

  #end(end: Promise<Interruption | null>): void {
    clearInterval(this.#watch);
    this.#stopWatchingLink();
    this.#delivery.signal?.removeEventListener("abort", this.#stop);
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
    this.#settle(end);
  }

  #take(message: Msg): void {
    const isControl = message.data.length === 0 && message.headers?.code === 100;
    if (!isControl || this.#delivery.endless) {
      this.#silentBeats = 0;
      this.#heardMs = monotonicClock.now();
    }
    if (isControl) {
      this.#answer(message);
      return;
    }
    const [sequence, number] = numbersOf(message.reply ?? "");
    if (number !== this.#received + 1) {
      this.interrupt(`message ${number} came behind ${this.#received}`);
      return;
    }
    this.#received = number;
    try {
      const enough = this.#delivery.onMessage(message.data, sequence, message.subject);
      if (enough) this.#stop();
    } catch (error) {
      this.#end(Promise.reject(error));
    }
  }

  /** Flow control asks whether all before it was handled; a heartbeat says how much was sent. */
  #answer(message: Msg): void {
    if (message.reply) {
      message.respond();
      return;
    }
    const stalled = message.headers?.get(stalledHeader);
    if (stalled) this.#connection.publish(stalled);
    const sent = Number(message.headers?.get(lastSentHeader) || this.#received);
    if (sent !== this.#received) this.interrupt(`${sent} messages were sent, not all came`);
  }

  /** Beats of a process that was itself held up come but once, so they do not add up. */
  #beat(): void {
    this.#silentBeats += 1;
    if (this.#silentBeats > heartbeatsMissedMax) this.interrupt("the server is silent");
  }
}

/** Sequence in the stream and number of the message, from $JS.ACK in its short or long form. */
function numbersOf(reply: string): readonly [sequence: number, number: number] {
  const tokens = reply.split(".");
  const at = tokens.length === 9 ? 5 : 7;
  return [Number(tokens[at]), Number(tokens[at + 1])];
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
