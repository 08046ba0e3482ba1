// What a replica does between two readings of the log: it follows it and waits for its turn, then
// writes its term behind everything that is there, and leads until it is overtaken or stopped.

import { backoffMs } from "../common/backoff.js";
import { sleep } from "../common/clock.js";
import { asFarmError, FarmError } from "../common/errors.js";
import type { Rules } from "./core/rules.js";
import { Leader } from "./leader.js";
import type { ReplicaLife } from "./life.js";
import type { OpeningOptions } from "./opening.js";
import type { LeaderInfo, Leadership, Reign } from "./ports.js";

/** Between two readings of the log, and two tries to follow it or to claim the lead. */
const retryBackoff = { baseMs: 100, maxMs: 2_000 };

/** An append of the leader before may still come in while the next one begins. */
const beginTriesMax = 3;

/** What is done by the leader beside answering; it ends with the reign. */
export interface Duty {
  stop(): Promise<void>;
}

export interface ReignOptions extends OpeningOptions {
  readonly leadership: Leadership;
  readonly self: LeaderInfo;
  readonly rules: Rules;
  /** As the leader's. */
  readonly stillMsMax: number;
  /** Begins what a leader does. */
  readonly duties: (life: ReplicaLife) => readonly Duty[];
  /** In [0, 1), for the jitter between tries. */
  readonly random: () => number;
  /** Aborts when the replica stops. */
  readonly stopping: AbortSignal;
}

/** Follows the log until this replica may try to lead. Throws why it cannot go on. */
export async function standBy(options: ReignOptions, life: ReplicaLife): Promise<Reign> {
  const ended = new AbortController();
  const signal = AbortSignal.any([options.stopping, ended.signal]);
  const following = follow(options, life, signal);
  const campaigning = campaign(options, signal);
  try {
    return await Promise.race([campaigning, following]);
  } catch (thrown) {
    // A claim that is won after all is in nobody's way for long.
    void campaigning.then((claim) => claim.resign()).catch(() => {});
    throw thrown;
  } finally {
    ended.abort(new FarmError("UNAVAILABLE", "the standby follows the log no longer"));
    await following.catch(() => {});
  }
}

/** Leads until that is over. Returns when the replica stops; throws why it leads no longer. */
export async function reign(options: ReignOptions, life: ReplicaLife, claim: Reign): Promise<void> {
  const { log, duties, stopping } = options;
  let leader: Leader | undefined;
  let begun: readonly Duty[] = [];
  let reason = new FarmError("UNAVAILABLE", "the coordinator is stopping; try again");
  try {
    leader = await begin(options, life);
    life.lead(leader);
    log.info({ term: life.term, sequence: life.sequence }, "leading");
    begun = duties(life);
    await Promise.race([leader.broken, claim.lost, aborted(stopping)]);
  } catch (thrown) {
    reason = asFarmError(thrown);
    life.end(reason); // nobody shall wait for what is put away below
    throw thrown;
  } finally {
    await leader?.stop(reason); // what is in flight is still answered
    life.end(reason);
    await claim.resign().catch((error: unknown) => {
      log.warn({ err: error }, "the claim to lead could not be given up; it runs out");
    });
    await Promise.all(begun.map((duty) => duty.stop()));
  }
}

/** Waits before another try, and not while the replica stops. */
export async function pause({ random, stopping }: ReignOptions, failures: number): Promise<void> {
  await sleep(backoffMs(failures, random(), retryBackoff), stopping).catch(() => {});
}

/** Never resolves; throws when the log behind the state is gone, or the signal's reason. */
async function follow(
  options: ReignOptions,
  life: ReplicaLife,
  signal: AbortSignal,
): Promise<never> {
  const { eventLog, log } = options;
  for (let failures = 1; ; failures += 1) {
    const before = life.sequence;
    try {
      await eventLog.follow(before, (turn, sequence) => life.fold(turn, sequence), signal);
    } catch (thrown) {
      const error = asFarmError(thrown);
      if (error.code !== "UNAVAILABLE") throw error;
      log.warn({ err: error }, "a standby cannot follow the log; trying again");
    }
    signal.throwIfAborted();
    if (life.sequence > before) failures = 1;
    await pause(options, failures);
  }
}

async function campaign(options: ReignOptions, signal: AbortSignal): Promise<Reign> {
  const { leadership, self, log } = options;
  for (let failures = 1; ; failures += 1) {
    try {
      return await leadership.campaign(self, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = asFarmError(thrown);
      if (error.code !== "UNAVAILABLE") throw error;
      log.warn({ err: error }, "a standby cannot campaign; trying again");
    }
    await pause(options, failures);
  }
}

/** Catches up with the log and writes the new term behind it. */
async function begin(options: ReignOptions, life: ReplicaLife): Promise<Leader> {
  const { eventLog } = options;
  for (let tries = 1; ; tries += 1) {
    await eventLog.replay(life.sequence, (turn, sequence) => life.fold(turn, sequence));
    try {
      return await Leader.begin({ ...options, state: life.state });
    } catch (thrown) {
      if (asFarmError(thrown).code !== "UNAVAILABLE" || tries === beginTriesMax) throw thrown;
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
