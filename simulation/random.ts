// Seeded randomness of the simulation: the same seed gives the same world on every machine. Each
// part of a world draws from a stream of its own, so that leaving one incident out (as the shrinker
// does) does not change what the others draw.

/** A stream of numbers that a seed determines. */
export interface Random {
  /** In [0, 1). */
  next(): number;
  /** A whole number in [0, bound). */
  below(bound: number): number;
  /** In [low, high). */
  between(low: number, high: number): number;
  chance(probability: number): boolean;
  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T;
  /** Exponentially distributed with this mean: gaps between events that know nothing of another. */
  exponential(mean: number): number;
  /** A stream that shares nothing with this one but the seed. */
  fork(name: string): Random;
}

/** The stream of a seed. */
export function seededRandom(seed: number | string): Random {
  const next = sfc32(hash32(`${seed}/a`), hash32(`${seed}/b`), hash32(`${seed}/c`));
  const below = (bound: number) => Math.floor(next() * bound);
  return {
    next,
    below,
    between: (low, high) => low + next() * (high - low),
    chance: (probability) => next() < probability,
    pick: (list) => {
      const value = list[below(list.length)];
      if (value === undefined) throw new RangeError("nothing to pick from");
      return value;
    },
    exponential: (mean) => -Math.log(1 - next()) * mean,
    fork: (name) => seededRandom(`${seed}/${name}`),
  };
}

/** FNV-1a with a final mix (murmur3's), since FNV alone leaves near texts near. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Chris Doty-Humphrey's small fast chaotic generator with a counter, 32 bits wide. */
function sfc32(seedA: number, seedB: number, seedC: number): () => number {
  let [a, b, c, counter] = [seedA, seedB, seedC, 1];
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 12; i++) next(); // until every bit of the seed has spread
  return next;
}
