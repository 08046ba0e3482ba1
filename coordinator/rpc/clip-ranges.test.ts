import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromRanges, rangesMax } from "./clip-ranges.js";

const range = (first: number, last: number) => ({ first, last });

test("ranges come out in rising order, joined where they overlap or touch", () => {
  assert.deepEqual(fromRanges([range(8, 9), range(0, 2), range(3, 3), range(1, 2)], 10), [
    [0, 3],
    [8, 9],
  ]);
  assert.deepEqual(fromRanges([], 10), []);
});

test("what is no range of the batch is refused with its bound", () => {
  const refused = (ranges: Parameters<typeof fromRanges>[0], message: RegExp) =>
    assert.throws(() => fromRanges(ranges, 10), { code: "INVALID_ARGUMENT", message });
  refused([range(3, 2)], /clips 3-2 begin behind their end/);
  refused([range(0, 10)], /clip 10 is not in the batch: its clips are 0-9/);
  refused([range(0, 2 ** 32 - 1)], /clip 4294967295 is not in the batch/);
  const many = Array.from({ length: rangesMax + 1 }, () => range(0, 0));
  refused(many, /1001 ranges are given, 1000 are allowed/);
});

test("any ranges of a batch name the same clips before and after", () => {
  const clipsTotal = 50;
  const place = fc.nat({ max: clipsTotal - 1 });
  const some = fc.array(
    fc.tuple(place, place).map(([a, b]) => range(Math.min(a, b), Math.max(a, b))),
  );
  const members = (pairs: readonly (readonly [number, number])[]) => {
    const clips = new Set<number>();
    for (const [first, last] of pairs) for (let at = first; at <= last; at++) clips.add(at);
    return [...clips].sort((a, b) => a - b);
  };
  fc.assert(
    fc.property(some, (ranges) => {
      const given = ranges.map(({ first, last }) => [first, last] as const);
      const joined = fromRanges(ranges, clipsTotal);
      assert.deepEqual(members(joined), members(given));
      for (const [index, [first]] of joined.entries()) {
        assert.ok(index === 0 || first > (joined[index - 1]?.[1] ?? 0) + 1);
      }
    }),
  );
});
