// One agent's stream, from the coordinator's side: what is sent goes out in order, behind the
// Welcome, and an agent that does not read is cut off rather than buffered for.

import type { ServerDuplexStream } from "@grpc/grpc-js";
import { FarmError } from "../../common/errors.js";
import type { ConnectRequest, ConnectResponse } from "../../proto/gen/tocafarm/v1/worker.js";

/**
 * An agent gets one message a lease and one a cancel; more than this unread means that it does not
 * read.
 */
const unreadMax = 1_000;

export type AgentMessage = NonNullable<ConnectResponse["message"]>;

export class AgentConnection {
  readonly worker: string;
  readonly #call: ServerDuplexStream<ConnectRequest, ConnectResponse>;
  readonly #closed = new AbortController();
  #outbox: Promise<void>;

  /** Nothing is sent before `welcome` resolves to the first message. */
  constructor(
    worker: string,
    call: ServerDuplexStream<ConnectRequest, ConnectResponse>,
    welcome: Promise<AgentMessage>,
  ) {
    this.worker = worker;
    this.#call = call;
    this.#outbox = welcome.then(
      (message) => this.#write(message),
      (error: unknown) => this.close(error),
    );
  }

  /** Aborts when the connection shall end; the reason is what its agent is told. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /**
   * Sends a message, or what a promise brings, after everything before it. A promise that fails
   * sends nothing.
   */
  send(message: AgentMessage | Promise<AgentMessage | undefined>): void {
    this.#outbox = this.#outbox.then(async () => {
      const ready = await Promise.resolve(message).catch(() => undefined);
      if (ready) this.#write(ready);
    });
  }

  close(reason: unknown): void {
    this.#closed.abort(reason);
  }

  #write(message: AgentMessage): void {
    if (this.closed.aborted) return;
    if (this.#call.writableLength > unreadMax) {
      this.close(new FarmError("RESOURCE_EXHAUSTED", "the agent does not read what it is sent"));
      return;
    }
    this.#call.write({ message });
  }
}
