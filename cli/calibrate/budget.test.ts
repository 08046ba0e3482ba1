import assert from "node:assert/strict";
import { test } from "node:test";
import { readBudget } from "./budget.js";

test("a budget is a number of steps or a share", () => {
  assert.deepEqual(readBudget("12", 30), { share: 0.4, steps: 12 });
  assert.deepEqual(readBudget("40%", 30), { share: 0.4, steps: 12 });
  assert.equal(readBudget("41.5%", 30).steps, 12);
  // 0.29 * 100 is a little less than 29.
  assert.equal(readBudget("29%", 100).steps, 29);
});

test("a budget that computes nothing or all is refused with what is wanted", () => {
  for (const text of ["0", "30", "2.5", "0%", "3%", "100%", "-3", "twelve", "12 %", ""]) {
    assert.throws(() => readBudget(text, 30), /1 to 29 steps of 30 are wanted, or a share/);
  }
});
