// Where a leader hears its agents: one connection each, one command of a connection at a time, and
// what a turn means for an agent goes out on its newest connection. As coordinator/rpc/worker-
// link.ts does it.

import type { Connection, DownMessage, UpMessage } from "./connection.js";
import type { SimulatedLeader } from "./leader.js";

interface Inbox {
  readonly connection: Connection;
  readonly messages: UpMessage[number][];
  worker: string | null;
  busy: boolean;
}

export class Desk {
  readonly #leader: SimulatedLeader;
  readonly #inboxes = new Map<Connection, Inbox>();
  readonly #agents = new Map<string, Connection>();

  constructor(leader: SimulatedLeader) {
    this.#leader = leader;
  }

  onMessage(connection: Connection, message: UpMessage): void {
    const inbox = this.#inboxes.get(connection) ?? this.#open(connection);
    inbox.messages.push(...message);
    this.#next(inbox);
  }

  onClosed(connection: Connection): void {
    const inbox = this.#inboxes.get(connection);
    this.#inboxes.delete(connection);
    const worker = inbox?.worker ?? null;
    if (worker === null || this.#agents.get(worker) !== connection) return;
    this.#agents.delete(worker);
    this.#leader.command({ type: "gone", worker }, () => {});
  }

  send(worker: string, message: DownMessage): void {
    this.#agents.get(worker)?.sendDown(message);
  }

  /** Hangs up on every agent. */
  close(): void {
    for (const connection of [...this.#inboxes.keys()]) this.#drop(connection);
    this.#agents.clear();
  }

  #open(connection: Connection): Inbox {
    const inbox: Inbox = { connection, messages: [], worker: null, busy: false };
    this.#inboxes.set(connection, inbox);
    return inbox;
  }

  #next(inbox: Inbox): void {
    const command = inbox.busy ? undefined : inbox.messages.shift();
    if (!command) return;
    inbox.busy = true;
    if (command.type === "hello") this.#meet(inbox, command.hello.id);
    this.#leader.command(command, (decision) => {
      inbox.busy = false;
      if (decision === null || !this.#inboxes.has(inbox.connection)) return;
      if (command.type === "hello") inbox.connection.sendDown({ type: "welcome" });
      this.#next(inbox);
    });
  }

  /** A newer connection of the same agent replaces the older one. */
  #meet(inbox: Inbox, worker: string): void {
    inbox.worker = worker;
    const earlier = this.#agents.get(worker);
    this.#agents.set(worker, inbox.connection);
    if (earlier !== undefined && earlier !== inbox.connection) this.#drop(earlier);
  }

  #drop(connection: Connection): void {
    this.#inboxes.delete(connection);
    connection.close("down");
  }
}
