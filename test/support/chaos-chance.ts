// Chance that can be had again: whatever a chaos test leaves to chance comes from one seed, which
// it prints. TOCAFARM_CHAOS_SEED gives it back. How long each process takes is not in the seed,
// so a repetition meets the same strikes and not always the same instant.
import { randomInt } from "node:crypto";
import type { TestContext } from "node:test";

/** The short form of chaos is what CI runs; the long form goes on for as long as somebody waits. */
export const isLongForm = process.env["TOCAFARM_TEST_LONG"] === "1";

/** For tests of the long form only. */
export const inLongForm = { skip: isLongForm ? false : "in the long form only" };

const seedMax = 2 ** 31;

export class Chance {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed | 0;
  }

  /** The seed of the environment, or a new one; the test's output names it. */
  static of(t: TestContext): Chance {
    const given = process.env["TOCAFARM_CHAOS_SEED"];
    const chance = new Chance(given === undefined ? randomInt(seedMax) : Number(given));
    t.diagnostic(`TOCAFARM_CHAOS_SEED=${chance.seed}`);
    return chance;
  }

  /** In [0, 1): mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** One of them; the list is not empty. */
  pick<T>(list: readonly T[]): T {
    const found = list[this.between(0, list.length - 1)];
    if (found === undefined) throw new Error("nothing to pick from");
    return found;
  }
}
