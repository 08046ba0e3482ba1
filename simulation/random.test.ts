import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "./random.js";

const drawn = (seed: number | string, count = 5) => {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => random.next());
};

test("a seed gives the same numbers every time, and another seed gives others", () => {
  assert.deepEqual(drawn(1), drawn(1));
  assert.notDeepEqual(drawn(1), drawn(2));
});

test("a fork does not depend on what was drawn before it", () => {
  const [one, other] = [seededRandom(1), seededRandom(1)];
  one.next();
  assert.equal(one.fork("log").next(), other.fork("log").next());
  assert.notEqual(one.fork("log").next(), one.fork("link").next());
});

test("numbers are spread evenly", () => {
  const counts = Array.from({ length: 10 }, () => 0);
  for (const value of drawn("even", 100_000)) {
    const bin = Math.floor(value * 10);
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  // Six standard deviations of a bin's count.
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 6 * 95, `${count} in a tenth`);
});
