// One connection between an agent and a coordinator, as TCP gives it: each way in order, with
// delay; a partition holds back what is under way, and either end learns of the other's end late
// or, behind a partition, only from its keepalive.

import type { Command } from "../coordinator/core/commands.js";
import type { Artifact, AttemptRef } from "../coordinator/core/events.js";
import type { SimulatedProcess } from "./process.js";
import type { Random } from "./random.js";
import type { Timeline } from "./timeline.js";

/** From an agent: one message, as the commands that it stands for. */
export type UpMessage = readonly Command[];

export interface LeaseMessage {
  readonly ref: AttemptRef;
  readonly device: string;
  readonly preview: boolean;
  readonly segment: number;
  readonly resume: { readonly step: number; readonly artifact: Artifact } | null;
}

export type DownMessage =
  | { readonly type: "welcome" }
  /** Not from a leader; `leader` is the place of the one that it knows of. */
  | { readonly type: "redirect"; readonly leader: number | null }
  | { readonly type: "lease"; readonly lease: LeaseMessage }
  | { readonly type: "stop"; readonly ref: AttemptRef }
  | { readonly type: "cut"; readonly ref: AttemptRef }
  | { readonly type: "canary"; readonly device: string; readonly id: string };

export interface End<Message> {
  readonly process: SimulatedProcess;
  onMessage(message: Message): void;
  onClosed(): void;
}

/** Whether nothing gets through this way now. */
export interface Barrier {
  readonly up: boolean;
  readonly down: boolean;
}

export interface ConnectionOptions {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly linkMs: number;
  readonly barrier: Barrier;
  readonly agent: End<DownMessage>;
  readonly coordinator: End<UpMessage>;
}

/** gRPC's keepalive: a ping after 20 s, its answer awaited for 10 s (common/rpc.ts). */
export const keepaliveMs = 30_000;

type Way = "up" | "down";

interface Lane {
  /** In the order in which they were sent. */
  readonly held: (() => void)[];
  lastAtMs: number;
  senderOpen: boolean;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #lanes: Readonly<Record<Way, Lane>> = {
    up: { held: [], lastAtMs: 0, senderOpen: true },
    down: { held: [], lastAtMs: 0, senderOpen: true },
  };

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Whether this end may still say and hear something. */
  isOpen(way: Way): boolean {
    return this.#lanes[way].senderOpen;
  }

  sendUp(message: UpMessage): void {
    const { coordinator } = this.#options;
    this.#send("up", () => {
      if (this.#lanes.down.senderOpen) coordinator.onMessage(message);
    });
  }

  sendDown(message: DownMessage): void {
    const { agent } = this.#options;
    this.#send("down", () => {
      if (this.#lanes.up.senderOpen) agent.onMessage(message);
    });
  }

  /**
   * The end that sends this way hangs up or dies; the other one learns of it behind what was sent.
   */
  close(way: Way): void {
    if (!this.#lanes[way].senderOpen) return;
    this.#send(way, () => this.#end(way === "up" ? "down" : "up"));
    this.#lanes[way].senderOpen = false;
  }

  /** Both ends learn that the connection is over, each after a delay of its own. */
  reset(): void {
    for (const lane of Object.values(this.#lanes)) lane.held.length = 0;
    this.#options.timeline.after(this.#delayMs(), () => this.#notice("up"));
    this.#options.timeline.after(this.#delayMs(), () => this.#notice("down"));
  }

  /** The end that sends this way has waited for its keepalive in vain, and hangs up. */
  giveUp(way: Way): void {
    const { agent, coordinator } = this.#options;
    const { process } = way === "up" ? agent : coordinator;
    process.reach(() => {
      if (!this.#lanes[way].senderOpen) return;
      this.close(way);
      (way === "up" ? agent : coordinator).onClosed();
    });
  }

  /** The partition is over: what was held back comes through, in order. */
  heal(): void {
    for (const way of ["up", "down"] as const) {
      if (this.#options.barrier[way]) continue;
      const lane = this.#lanes[way];
      const held = lane.held.splice(0);
      for (const arrive of held) this.#carry(way, arrive);
    }
  }

  #send(way: Way, arrive: () => void): void {
    const lane = this.#lanes[way];
    if (!lane.senderOpen) return;
    if (this.#options.barrier[way] || lane.held.length > 0) lane.held.push(arrive);
    else this.#carry(way, arrive);
  }

  #carry(way: Way, arrive: () => void): void {
    const { timeline, barrier, agent, coordinator } = this.#options;
    const lane = this.#lanes[way];
    lane.lastAtMs = Math.max(lane.lastAtMs, timeline.nowMs + this.#delayMs());
    const receiver = way === "up" ? coordinator.process : agent.process;
    timeline.after(lane.lastAtMs - timeline.nowMs, () => {
      if (barrier[way] || lane.held.length > 0) lane.held.push(arrive);
      else receiver.reach(arrive);
    });
  }

  #notice(way: Way): void {
    const { agent, coordinator } = this.#options;
    const { process } = way === "up" ? agent : coordinator;
    process.reach(() => this.#end(way));
  }

  #end(way: Way): void {
    const lane = this.#lanes[way];
    if (!lane.senderOpen) return;
    lane.senderOpen = false;
    const { agent, coordinator } = this.#options;
    (way === "up" ? agent : coordinator).onClosed();
  }

  #delayMs(): number {
    const { linkMs, random } = this.#options;
    return linkMs * (1 + random.next());
  }
}
