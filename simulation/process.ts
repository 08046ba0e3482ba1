// A process in the world: it can be killed, started again, and stopped in its tracks by SIGSTOP.
// What reaches a stopped process waits in its sockets and timers until it goes on.

import type { Planned, Timeline } from "./timeline.js";

export class SimulatedProcess {
  readonly #timeline: Timeline;
  #life = 0;
  #alive = false;
  #frozenUntilMs = 0;
  #waiting: (() => void)[] = [];

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozen(): boolean {
    return this.#timeline.nowMs < this.#frozenUntilMs;
  }

  get awake(): boolean {
    return this.#alive && !this.frozen && this.#waiting.length === 0;
  }

  start(): void {
    this.#alive = true;
  }

  /** Nothing that was planned for this life happens any more. */
  kill(): void {
    this.#alive = false;
    this.#life += 1;
    this.#frozenUntilMs = 0;
    this.#waiting = [];
  }

  /** Stands still for this long, or longer where it stood still already. */
  freeze(forMs: number): void {
    if (!this.#alive) return;
    this.#frozenUntilMs = Math.max(this.#frozenUntilMs, this.#timeline.nowMs + forMs);
    const life = this.#life;
    this.#timeline.after(forMs, () => this.#wake(life));
  }

  /** Plans `run` for this life of the process, no sooner than it is awake. */
  after(delayMs: number, run: () => void): Planned {
    const life = this.#life;
    return this.#timeline.after(delayMs, () => this.#reach(life, run));
  }

  /** Something reaches the process now: at once, when it wakes, or never when it is dead. */
  reach(run: () => void): void {
    this.#reach(this.#life, run);
  }

  #reach(life: number, run: () => void): void {
    if (!this.#alive || life !== this.#life) return;
    if (this.frozen || this.#waiting.length > 0) this.#waiting.push(run);
    else run();
  }

  #wake(life: number): void {
    if (life !== this.#life || this.frozen) return;
    while (this.#waiting.length > 0 && life === this.#life) this.#waiting.shift()?.();
  }
}
