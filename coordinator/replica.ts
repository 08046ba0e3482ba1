// A coordinator's part in its pool, for as long as its process runs: it reads the log, follows it
// as a standby, leads when it is its turn, and begins again with a reading when it was overtaken.
// Who may try to lead, the leadership says; who leads, the log decides.

import { sleep } from "../common/clock.js";
import { asFarmError, FarmError } from "../common/errors.js";
import { ReplicaLife } from "./life.js";
import { openState } from "./opening.js";
import type { LeaderInfo, Life, ReplicaPort } from "./ports.js";
import { pause, type ReignOptions, reign, standBy } from "./reign.js";

/** A new coordinator serves once it knows who leads, or after this long in any case. */
const firstLeaderMsMax = 5_000;
const firstLeaderPollMs = 5;

export class Replica implements ReplicaPort {
  readonly #stopping = new AbortController();
  #options: ReignOptions | undefined;
  #life: ReplicaLife | null = null;
  #running: Promise<void> = Promise.resolve();
  #reportBroken: (error: FarmError) => void = () => {};

  /** Rejects when this process cannot go on, whatever it tries. */
  readonly broken: Promise<never>;

  constructor() {
    this.broken = new Promise((_, reject) => {
      this.#reportBroken = reject;
    });
    this.broken.catch(() => {}); // whoever runs this replica listens too
  }

  get life(): Life | null {
    return this.#life;
  }

  get leader(): LeaderInfo | null {
    if (this.#options === undefined) return null;
    const { leadership, self } = this.#options;
    if (this.#life?.leads) return self;
    const known = leadership.leader();
    return known?.id === self.id ? null : known;
  }

  /**
   * Resolves once the log is read and a leader is known, this one or another; after 5 s without one
   * in any case. Throws what the log says, UNAVAILABLE when it does not answer.
   */
  async start(options: Omit<ReignOptions, "stopping">): Promise<void> {
    const all = { ...options, stopping: this.#stopping.signal };
    this.#options = all;
    this.#life = await open(all);
    this.#running = this.#run(all);
    for (let waitedMs = 0; waitedMs < firstLeaderMsMax; waitedMs += firstLeaderPollMs) {
      if (this.leader !== null) return;
      await Promise.race([sleep(firstLeaderPollMs), this.broken]);
    }
  }

  /** What is in flight is still answered; then another one may lead at once. */
  async stop(): Promise<void> {
    this.#stopping.abort(new FarmError("UNAVAILABLE", "the coordinator is stopping; try again"));
    await this.#running;
  }

  /** One life after the other. */
  async #run(options: ReignOptions): Promise<void> {
    const { stopping, log } = options;
    for (let failures = 1; !stopping.aborted; failures += 1) {
      try {
        this.#life ??= await open(options);
        failures = 1;
        await live(options, this.#life);
      } catch (thrown) {
        const error = asFarmError(thrown);
        // What is wrong with a log that could not even be read, no later try will heal.
        if (this.#life === null && error.code !== "UNAVAILABLE") {
          this.#reportBroken(error);
          return;
        }
        if (!stopping.aborted) log.warn({ err: error }, "the log is read anew");
      }
      this.#life = null;
      await pause(options, failures);
    }
  }
}

async function open(options: ReignOptions): Promise<ReplicaLife> {
  const { state, snapshotSequence } = await openState(options);
  return new ReplicaLife(state, snapshotSequence, options.rules);
}

/** From standby to the end of a reign. Returns when the replica stops; throws why it is over. */
async function live(options: ReignOptions, life: ReplicaLife): Promise<void> {
  const { stopping } = options;
  try {
    const claim = await standBy(options, life);
    await reign(options, life, claim);
  } catch (thrown) {
    life.end(asFarmError(stopping.aborted ? stopping.reason : thrown));
    if (!stopping.aborted) throw thrown;
  }
}
