import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm, testDevice } from "../../test/support/coordinator-core.js";
import type { FarmEvent } from "./events.js";
import { defaultRules } from "./rules.js";

const bytesOf = (events: readonly FarmEvent[]) => Buffer.byteLength(JSON.stringify(events));
const sweepBytesMax = 256 * 1024;

/** One device has failed thrice with this message; of 2,000 clips nobody may run any more. */
function starved(message: string): TestFarm {
  const farm = new TestFarm({ ...defaultRules, retry: { ...defaultRules.retry, backoffMs: 0 } });
  farm.submit("b1", { clips: 2_000 });
  farm.join("w1");
  for (let i = 0; i < 3; i++) {
    farm.ask("w1");
    farm.place();
    const ref = farm.lease("w1");
    const failure = { code: "ENGINE_CRASH", message };
    farm.do({ type: "failed", worker: "w1", ref, failure, childDead: true });
  }
  farm.now += defaultRules.leaseMs + 1;
  return farm;
}

for (const [what, unit] of [
  ["three bytes", "\u706b"],
  ["a pair of surrogates", "\u{1f525}"],
  ["an escape", "\u0001"],
] as const) {
  test(`a turn that ends thousands of clips is bounded by bytes, with ${what} a character`, () => {
    const farm = starved(unit.repeat(1_000));
    const turns: (readonly FarmEvent[])[] = [];
    for (let turn = 0; turn < 40; turn++) turns.push(farm.wait(0).events);
    const ended = turns.flat().filter((event) => event.type === "ClipFailed");
    assert.ok(ended.length >= 1_999, `${ended.length} clips have failed`);
    for (const events of turns) assert.ok(bytesOf(events) < sweepBytesMax, `${bytesOf(events)}`);
    for (const { failure } of ended) {
      assert.ok(failure.message.length < 300);
      assert.doesNotMatch(failure.message, /[\ud800-\udbff]$/);
    }
  });
}

test("leases of devices with long names are bounded by bytes, and the rest follow", () => {
  const farm = new TestFarm();
  const kind = "\u706b".repeat(300);
  farm.submit("b1", { clips: 1_000 });
  for (let i = 0; i < 500; i++) farm.join(`w${i}`, { devices: [testDevice({ kind })] });
  let leases = 0;
  while (leases < 500) {
    const { events } = farm.place();
    assert.ok(events.length > 0 && bytesOf(events) < sweepBytesMax, `${bytesOf(events)}`);
    leases += events.length;
  }
});
