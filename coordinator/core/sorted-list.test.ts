import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SortedList } from "./sorted-list.js";
import { Timers } from "./timers.js";

test("a sorted list is in order after any additions and removals", () => {
  const numbers = fc.uniqueArray(fc.integer(), { maxLength: 60 });
  fc.assert(
    fc.property(numbers, fc.array(fc.nat(100)), (added, removed) => {
      const list = new SortedList<number>((a, b) => a - b);
      for (const number of added) list.add(number);
      const left = new Set(added);
      for (const index of removed) {
        const number = added[index];
        if (number !== undefined && left.delete(number)) list.delete(number);
      }
      assert.deepEqual(
        list.items,
        [...left].sort((a, b) => a - b),
      );
    }),
  );
});

test("what is not in a sorted list cannot be taken from it", () => {
  const list = new SortedList<number>((a, b) => a - b);
  list.add(1);
  assert.throws(() => list.delete(2), /has it not/);
});

test("timers come in the order of their time, and of being set", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), fc.nat(20), (times, now) => {
      const timers = new Timers<readonly [at: number, order: number]>();
      for (const [order, at] of times.entries()) timers.set(at, [at, order]);
      const due: (readonly [number, number])[] = [];
      for (let next = timers.due(now); next; next = timers.due(now)) due.push(next);
      const expected = times
        .map((at, order) => [at, order] as const)
        .filter(([at]) => at <= now)
        .sort(([a, i], [b, j]) => a - b || i - j);
      assert.deepEqual(due, expected);
    }),
  );
});
