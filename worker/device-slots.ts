// What one device has to do: the attempt that its engine denoises, at most one more that waits for
// that, and one that is being finished: decoded, encoded and stored. Two attempts are held at most,
// so an encoder or a store that is slow holds the device back instead of gathering clips. A canary
// takes the engine like an attempt, and is none.
import type { Attempt } from "./attempt.js";
import type { Supervisor } from "./supervisor.js";

// One ahead, never two.
const heldMax = 2;

export class DeviceSlots {
  readonly supervisor: Supervisor;
  #running: Attempt | undefined;
  #next: Attempt | undefined;
  #canary = false;
  readonly #finishing = new Set<Attempt>();

  constructor(supervisor: Supervisor) {
    this.supervisor = supervisor;
  }

  get device(): string {
    return this.supervisor.settings.device;
  }

  /** Every attempt held, in the order of their leases. */
  get attempts(): readonly Attempt[] {
    const held = [...this.#finishing, this.#running, this.#next];
    return held.filter((attempt) => attempt !== undefined);
  }

  /** Whether something may be begun on the engine. */
  get engineFree(): boolean {
    return this.#running === undefined && !this.#canary && this.supervisor.idle;
  }

  /** Whether a lease would be taken. */
  get hasRoom(): boolean {
    const ready = this.supervisor.status === "ready";
    return ready && this.#next === undefined && this.attempts.length < heldMax;
  }

  /** Whether a lease is asked for: soon there will be nothing to do. */
  get wantsLease(): boolean {
    if (!this.hasRoom) return false;
    return this.#running === undefined ? this.engineFree : this.#running.inLastSteps;
  }

  isWaiting(attempt: Attempt): boolean {
    return this.#next === attempt;
  }

  /** Holds an attempt, not begun. */
  put(attempt: Attempt): void {
    this.#next = attempt;
  }

  /** The waiting attempt, which has the engine from now on; undefined when none waits. */
  begin(): Attempt | undefined {
    this.#running = this.#next;
    this.#next = undefined;
    return this.#running;
  }

  /** A canary has the engine until it is released. */
  occupy(): void {
    this.#canary = true;
  }

  release(): void {
    this.#canary = false;
  }

  /** The engine may begin another attempt; this one is finished meanwhile. */
  freeEngine(attempt: Attempt): void {
    if (this.#running !== attempt) return;
    this.#running = undefined;
    this.#finishing.add(attempt);
  }

  /** The waiting attempt, which is held no longer. */
  dropWaiting(): Attempt | undefined {
    const waiting = this.#next;
    this.#next = undefined;
    return waiting;
  }

  /** The attempt is held no longer. */
  remove(attempt: Attempt): void {
    if (this.#next === attempt) this.#next = undefined;
    if (this.#running === attempt) this.#running = undefined;
    this.#finishing.delete(attempt);
  }
}
