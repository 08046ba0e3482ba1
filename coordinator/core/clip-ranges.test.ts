import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { countOf, rangesError, rangesMax, rangesWhere } from "./clip-ranges.js";

test("ranges that make no sense for a batch are told with the bound", () => {
  assert.match(rangesError([[0, 10]], 10) ?? "", /clip 10 .* 0 to 9/);
  assert.match(rangesError([[3, 2]], 10) ?? "", /3-2 is no range/);
  assert.match(rangesError([[-1, 2]], 10) ?? "", /no range/);
  assert.match(rangesError([[0.5, 2]], 10) ?? "", /no range/);
  const many = Array.from({ length: rangesMax + 1 }, (_, i) => [i, i] as const);
  assert.match(rangesError(many, rangesMax * 2) ?? "", /give fewer/);
  assert.equal(rangesError([[0, 9]], 10), null);
});

test("places that fit are told once each, in order, in as few ranges as they take", () => {
  const range = fc.tuple(fc.nat(30), fc.nat(8)).map(([a, more]) => [a, a + more] as const);
  fc.assert(
    fc.property(fc.array(range, { maxLength: 6 }), fc.array(fc.boolean()), (ranges, fits) => {
      const wanted = new Set<number>();
      for (const [first, last] of ranges) {
        for (let clip = first; clip <= last; clip++) if (fits[clip]) wanted.add(clip);
      }
      const found = rangesWhere(ranges, (clip) => fits[clip] ?? false);
      const places = found.flatMap(([first, last]) =>
        Array.from({ length: last - first + 1 }, (_, i) => first + i),
      );
      assert.deepEqual(
        places,
        [...wanted].sort((a, b) => a - b),
      );
      assert.equal(countOf(found), wanted.size);
      for (const [i, [first]] of found.entries()) {
        assert.ok(i === 0 || first > (found[i - 1]?.[1] ?? 0) + 1, "neighbours are joined");
      }
    }),
  );
});
