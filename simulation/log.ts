// The log of the pool and the claim to lead, as JetStream gives them: turns as bytes, an append
// that names the sequence it follows, and outcomes that the writer may never learn.

import type { FarmEvent } from "../coordinator/core/events.js";
import { decodeTurn, encodeTurn } from "../coordinator/nats/event-codec.js";
import type { Random } from "./random.js";
import type { Timeline } from "./timeline.js";

/** unknown: nothing came back within the writer's patience. */
export type AppendOutcome = "written" | "refused" | "unknown";

/** A turn has just become part of the log. */
export type OnCommit = (events: readonly FarmEvent[], sequence: number) => void;

export interface LogOptions {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly appendMs: number;
  readonly onCommit: OnCommit;
}

/** After this long without an answer an append's outcome counts as unknown. */
const patienceMs = 5_000;

/** One in fifty fsyncs takes ten times as long: p50 0.4 ms beside p99 of 9-16 ms was measured. */
const slowShare = 0.02;
const slowFactor = 10;

export class SimulatedLog {
  readonly #options: LogOptions;
  #turns: Uint8Array[] = [];
  #cutAt = 0;
  #losing: { readonly written: boolean } | null = null;
  #snapshot: { readonly sequence: number; readonly text: string } | null = null;

  constructor(options: LogOptions) {
    this.#options = options;
  }

  /** Sequence of the newest turn, 0 for an empty log. */
  get last(): number {
    return this.#cutAt + this.#turns.length;
  }

  get snapshot() {
    return this.#snapshot;
  }

  /** The oldest turn that is still there follows this one. */
  get cutAt(): number {
    return this.#cutAt;
  }

  /** Appends behind `after`; `reaches` says whether the writer and the server reach each other. */
  append(
    events: readonly FarmEvent[],
    after: number,
    reaches: () => boolean,
    done: (outcome: AppendOutcome) => void,
  ): void {
    const { timeline } = this.#options;
    const losing = this.#losing;
    this.#losing = null;
    const arrives = reaches() && losing?.written !== false;
    const bytes = encodeTurn(events);
    timeline.after(this.#halfMs(), () => {
      const outcome = arrives ? this.#write(bytes, after) : "unknown";
      if (outcome === "unknown" || losing !== null || !reaches()) {
        timeline.after(patienceMs, () => done("unknown"));
      } else {
        timeline.after(this.#halfMs(), () => done(outcome));
      }
    });
  }

  /** The next append's writer learns nothing, whether it was written or not. */
  loseNext(written: boolean): void {
    this.#losing = { written };
  }

  /** Every turn behind `after`. */
  *read(after: number): Generator<readonly [events: readonly FarmEvent[], sequence: number]> {
    for (let sequence = after + 1; sequence <= this.last; sequence++) {
      const bytes = this.#turns[sequence - this.#cutAt - 1];
      if (bytes) yield [decodeTurn(bytes), sequence];
    }
  }

  /**
   * Keeps the state as of a sequence, and gives up the turns before it when they are not wanted.
   */
  keepSnapshot(sequence: number, text: string, cut: boolean): void {
    this.#snapshot = { sequence, text };
    if (!cut) return;
    this.#turns = this.#turns.slice(sequence - this.#cutAt);
    this.#cutAt = sequence;
  }

  #write(bytes: Uint8Array, after: number): AppendOutcome {
    if (after !== this.last) return "refused";
    this.#turns.push(bytes);
    this.#options.onCommit(decodeTurn(bytes), this.last);
    return "written";
  }

  #halfMs(): number {
    const { random, appendMs } = this.#options;
    const ms = (appendMs / 2) * (0.5 + random.next());
    return random.chance(slowShare) ? ms * slowFactor : ms;
  }
}

/** The key by which coordinators know who leads. */
export class SimulatedSeat {
  #revision = 0;
  #holder: number | null = null;

  get revision(): number {
    return this.#revision;
  }

  get holder(): number | null {
    return this.#holder;
  }

  /** Writes `holder` unless somebody wrote after `revision`. */
  claim(revision: number, holder: number): boolean {
    if (revision !== this.#revision) return false;
    this.#revision += 1;
    this.#holder = holder;
    return true;
  }
}
