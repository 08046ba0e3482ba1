// How an agent keeps its one connection, as worker/link.ts: it dials one coordinator after another,
// follows the word of one that does not lead, gives up on one that does not answer, and dials
// again.

import { backoffMs } from "../common/backoff.js";
import type { SimulatedAgent } from "./agent.js";
import { Connection, type DownMessage, keepaliveMs } from "./connection.js";
import type { SimulatedCoordinator } from "./coordinator.js";
import type { Random } from "./random.js";
import type { Planned, Timeline } from "./timeline.js";

export interface DiallerOptions {
  readonly agent: SimulatedAgent;
  readonly coordinators: readonly SimulatedCoordinator[];
  readonly timeline: Timeline;
  readonly random: Random;
  readonly linkMs: number;
}

/** A dial that nobody answers is given up after this. */
const welcomeMsMax = 10_000;
const redialBackoff = { baseMs: 100, maxMs: 5_000 };

export class Dialler {
  readonly #options: DiallerOptions;
  /** Ways that nothing gets through now. */
  readonly #barrier = { up: false, down: false };
  #connection: Connection | null = null;
  #deadline: Planned | null = null;
  #target = 0;
  #tries = 0;
  #partitions = 0;

  constructor(options: DiallerOptions) {
    this.#options = options;
    this.#target = options.random.below(options.coordinators.length);
  }

  /** Whether messages pass in both ways on a connection that is up. */
  get linked(): boolean {
    const { up, down } = this.#barrier;
    return this.#connection?.isOpen("up") === true && !up && !down;
  }

  /** Dials for the agent's present life. */
  start(): void {
    this.#tries = 0;
    this.#connection = null;
    this.#dial();
  }

  /** The connection breaks, with whatever is under way on it. */
  reset(): void {
    this.#connection?.reset();
  }

  /** Nothing gets through in these ways for a while. */
  partition(way: "both" | "up" | "down", forMs: number): void {
    const { timeline } = this.#options;
    const partition = ++this.#partitions;
    this.#barrier.up = way !== "down";
    this.#barrier.down = way !== "up";
    const connection = this.#connection;
    timeline.after(keepaliveMs, () => {
      if (partition !== this.#partitions) return;
      connection?.giveUp("up");
      connection?.giveUp("down");
    });
    timeline.after(forMs, () => {
      if (partition !== this.#partitions) return;
      this.#partitions += 1;
      this.#barrier.up = false;
      this.#barrier.down = false;
      connection?.heal();
      if (this.#connection !== connection) this.#connection?.heal();
    });
  }

  /** One end stands still for a while: the other one waits for its keepalive, and hangs up. */
  frozen(end: "agent" | "coordinator", forMs: number): void {
    if (forMs <= keepaliveMs) return;
    const connection = this.#connection;
    const { timeline } = this.#options;
    timeline.after(keepaliveMs, () => connection?.giveUp(end === "agent" ? "down" : "up"));
  }

  /** The coordinator to which the connection leads. */
  get coordinator(): number {
    return this.#target;
  }

  #dial(): void {
    const { agent, coordinators, timeline, linkMs, random } = this.#options;
    const coordinator = coordinators[this.#target];
    if (coordinator === undefined) return;
    this.#tries += 1;
    if (this.#barrier.up || this.#barrier.down) {
      this.#deadline = agent.process.after(welcomeMsMax, () => this.#dialNext());
      return;
    }
    if (!coordinator.process.alive) {
      agent.process.after(2 * linkMs, () => this.#dialNext()); // refused
      return;
    }
    const connection: Connection = new Connection({
      timeline,
      random,
      linkMs,
      barrier: this.#barrier,
      agent: {
        process: agent.process,
        onMessage: (message) => this.#onMessage(connection, message),
        onClosed: () => this.#onClosed(connection),
      },
      coordinator: {
        process: coordinator.process,
        onMessage: (message) => coordinator.onMessage(connection, message),
        onClosed: () => coordinator.onClosed(connection),
      },
    });
    this.#connection = connection;
    this.#deadline = agent.process.after(welcomeMsMax, () => {
      connection.close("up");
      this.#onClosed(connection);
    });
    connection.sendUp(agent.hello());
    agent.attach({
      say: (message) => connection.sendUp(message),
      hangUp: () => connection.close("up"),
    });
  }

  #onMessage(connection: Connection, message: DownMessage): void {
    if (connection !== this.#connection) return;
    if (this.#deadline !== null) this.#deadline.cancelled = true;
    if (message.type === "redirect") {
      this.#connection = null;
      this.#options.agent.detach();
      connection.close("up");
      this.#follow(message.leader);
      return;
    }
    if (message.type === "welcome") this.#tries = 0;
    this.#options.agent.onMessage(message);
  }

  /** Dials the leader that a standby named, unless that is whom it asked. */
  #follow(leader: number | null): void {
    if (leader === null || leader === this.#target) {
      this.#dialNext();
      return;
    }
    this.#target = leader;
    this.#again();
  }

  #onClosed(connection: Connection): void {
    if (connection !== this.#connection) return;
    if (this.#deadline !== null) this.#deadline.cancelled = true;
    this.#connection = null;
    this.#options.agent.detach();
    this.#dialNext();
  }

  #dialNext(): void {
    this.#target = (this.#target + 1) % this.#options.coordinators.length;
    this.#again();
  }

  #again(): void {
    const { agent, random } = this.#options;
    const waitMs = backoffMs(Math.max(1, this.#tries), random.next(), redialBackoff);
    agent.process.after(waitMs, () => this.#dial());
  }
}
