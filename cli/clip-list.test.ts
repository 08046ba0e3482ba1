import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FarmError } from "../common/errors.js";
import { clipList, clipName } from "./clip-list.js";

test("a list of clips is places and ranges", () => {
  assert.deepEqual(clipList("0-9,12"), [
    { first: 0, last: 9 },
    { first: 12, last: 12 },
  ]);
  assert.deepEqual(clipList(" 3 - 4 , 000005 "), [
    { first: 3, last: 4 },
    { first: 5, last: 5 },
  ]);
});

test("what is no list is refused with the part that is none", () => {
  const refused = (text: string, message: RegExp) =>
    assert.throws(() => clipList(text), { code: "INVALID_ARGUMENT", message });
  refused("", /CLIPS has ""/);
  refused("1,,2", /CLIPS has ""/);
  refused("1-", /CLIPS has "1-"/);
  refused("-1", /CLIPS has "-1"/);
  refused("1,all", /CLIPS has "all"/);
  refused("9-3", /9-3, which begins behind its end/);
  refused("100000", /no batch has more/);
  refused(Array.from({ length: 1001 }, () => "1").join(), /1001 ranges; at most 1000/);
});

test("any text is a list or is refused", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        for (const { first, last } of clipList(text)) assert.ok(0 <= first && first <= last);
      } catch (error) {
        assert.ok(error instanceof FarmError && error.code === "INVALID_ARGUMENT");
      }
    }),
  );
});

test("a clip's name gives its batch and its place", () => {
  assert.deepEqual(clipName("b04k2m9qx7r1t.000003"), { batch: "b04k2m9qx7r1t", index: 3 });
  assert.throws(() => clipName("b04k2m9qx7r1t"), /is no clip; one is named like/);
});
