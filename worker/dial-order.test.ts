// The order of dialling, with times and chances that the test gives.
import assert from "node:assert/strict";
import { test } from "node:test";
import { DialOrder, type DialOutcome } from "./dial-order.js";

const refused: DialOutcome = { type: "refused" };
const silent: DialOutcome = { type: "silent" };
const leaderIs = (leader: string): DialOutcome => ({ type: "redirected", leader });

/** Ends a try and returns where and when the next one goes. */
function next(order: DialOrder, outcome: DialOutcome, nowMs = 0): string {
  const waitMs = order.ended(outcome, nowMs, 0.999);
  return `${order.address} in ${waitMs}`;
}

test("all are tried at once in turn, and again after a wait that grows to a second", () => {
  const order = new DialOrder(["a:1", "b:1", "c:1"]);
  assert.equal(order.address, "a:1");
  assert.equal(next(order, refused), "b:1 in 0");
  assert.equal(next(order, refused), "c:1 in 0");
  assert.equal(next(order, refused), "a:1 in 100");
  const waits = Array.from({ length: 18 }, () => next(order, refused).split(" ").at(-1));
  assert.deepEqual(
    waits.filter((_, index) => index % 3 === 2),
    ["200", "400", "800", "1000", "1000", "1000"],
  );
});

test("a leader that is named is dialled at once, and the list again when it is not there", () => {
  const order = new DialOrder(["a:1", "b:1"]);
  assert.equal(next(order, leaderIs("z:9")), "z:9 in 0");
  assert.equal(next(order, refused), "b:1 in 0");
  assert.equal(next(order, leaderIs("")), "a:1 in 100");
});

test("an agent that another one has replaced keeps away for a while", () => {
  const order = new DialOrder(["a:1", "b:1"]);
  order.welcomed();
  assert.equal(next(order, { type: "replaced" }), "a:1 in 10000");
});

test("standbys that name each other are not followed for ever", () => {
  const order = new DialOrder(["a:1", "b:1"]);
  const waits: number[] = [];
  for (let turn = 0; turn < 20; turn += 1) {
    const other = order.address === "a:1" ? "b:1" : "a:1";
    waits.push(order.ended(leaderIs(other), 0, 0.999));
  }
  assert.ok(waits.filter((waitMs) => waitMs > 0).length >= 3, waits.join());
});

test("a coordinator that names itself and does not lead is left", () => {
  const order = new DialOrder(["a:1", "b:1"]);
  assert.equal(next(order, leaderIs("a:1")), "b:1 in 0");
});

test("one that says nothing rests for ten seconds and gets more time after that", () => {
  const order = new DialOrder(["a:1", "b:1"]);
  assert.equal(order.welcomeMs, 2_000);
  assert.equal(next(order, silent, 0), "b:1 in 0");
  assert.equal(next(order, leaderIs("a:1"), 0), "b:1 in 100", "it rests, whoever names it");
  assert.equal(next(order, refused, 9_999), "b:1 in 0");
  assert.equal(next(order, refused, 10_000), "a:1 in 200");
  assert.equal(order.welcomeMs, 4_000);
});

test("the only one is dialled again though it said nothing", () => {
  const order = new DialOrder(["a:1"]);
  for (const welcomeMs of [2_000, 4_000, 8_000, 10_000, 10_000]) {
    assert.equal(order.welcomeMs, welcomeMs);
    order.ended(silent, 0, 0);
    assert.equal(order.address, "a:1");
  }
  order.welcomed();
  assert.equal(order.welcomeMs, 2_000);
});

test("a link that breaks leads to the one after its coordinator, after a short wait", () => {
  const order = new DialOrder(["a:1", "b:1", "c:1"]);
  order.ended(leaderIs("b:1"), 0, 0);
  order.welcomed();
  assert.equal(order.address, "b:1");
  assert.equal(next(order, { type: "broken" }), "c:1 in 100");
});
