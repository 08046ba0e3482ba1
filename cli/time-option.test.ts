import assert from "node:assert/strict";
import { test } from "node:test";
import { deadlineOf, secondsOption } from "./time-option.js";

const now = Date.parse("2026-11-23T08:00:00Z");

test("a deadline is a time, or a while from now", () => {
  assert.equal(deadlineOf("2h", now).toISOString(), "2026-11-23T10:00:00.000Z");
  assert.equal(deadlineOf("1.5d", now).toISOString(), "2026-11-24T20:00:00.000Z");
  const stated = deadlineOf("2026-11-23T18:00+01:00", now);
  assert.equal(stated.toISOString(), "2026-11-23T17:00:00.000Z");
});

test("a deadline that is over, or no time, is refused", () => {
  const refused = (text: string, message: RegExp) =>
    assert.throws(() => deadlineOf(text, now), { code: "INVALID_ARGUMENT", message });
  refused("2026-11-23T07:59:59Z", /which is over/);
  for (const text of ["", "2", "0h", "tomorrow", "2026-11-23", "2026-13-40T00:00Z", "-2h"]) {
    refused(text, /a while such as 2h is wanted/);
  }
});

test("a while is a number with its unit", () => {
  const valid = secondsOption("--valid");
  assert.equal(valid("90s"), 90);
  assert.equal(valid("7d"), 604_800);
  assert.throws(() => valid("90"), { code: "INVALID_ARGUMENT", message: /--valid is 90; 90s/ });
});
