import assert from "node:assert/strict";
import { test } from "node:test";
import { FarmError } from "../common/errors.js";
import { silentLog } from "../common/log.js";
import { testHello, testSubmission } from "../test/support/coordinator-core.js";
import { defaultRules } from "./core/decide.js";
import type { FarmEvent } from "./core/events.js";
import { Leader } from "./leader.js";
import { memoryEventLog } from "./memory/event-log.js";
import type { EventLog, Turn } from "./ports.js";

const rules = defaultRules;

/** A log whose appends wait until the test lets them through. */
function gatedLog(): {
  readonly eventLog: EventLog;
  open: boolean;
  let: () => void;
  sizes: number[];
} {
  const inner = memoryEventLog();
  const gates: (() => void)[] = [];
  const gated = {
    open: true,
    sizes: [] as number[],
    let: () => gates.shift()?.(),
    eventLog: {
      replay: inner.replay,
      append: async (events: readonly FarmEvent[], after: number) => {
        if (!gated.open) await new Promise<void>((resolve) => gates.push(resolve));
        gated.sizes.push(events.length);
        return inner.append(events, after);
      },
    },
  };
  return gated;
}

const submit = (batch: string) =>
  ({ type: "submit", submission: testSubmission(batch, { clips: 1 }) }) as const;

const settled = () => new Promise((resolve) => setTimeout(resolve, 10));

test("nothing is answered or read before it is in the log", async (t) => {
  const gated = gatedLog();
  const leader = await Leader.open({ eventLog: gated.eventLog, rules, log: silentLog });
  t.after(() => leader.stop());
  gated.open = false;
  const seen: string[] = [];
  leader.onTurn(({ events }) => seen.push(`turn of ${events.length}`));
  const submitted = leader.command(submit("b1")).then(() => seen.push("answered"));
  const early = leader.query(({ state }) => seen.push(`read ${state.batches.size}`));
  await settled();
  const late = leader.query(({ state }) => seen.push(`read ${state.batches.size}`));
  await settled();
  assert.deepEqual(seen, []);
  gated.let();
  await Promise.all([submitted, early, late]);
  assert.deepEqual(seen.sort(), ["answered", "read 1", "read 1", "turn of 1"]);
});

test("commands that arrive while an append is in flight go together in the next one", async (t) => {
  const gated = gatedLog();
  const leader = await Leader.open({ eventLog: gated.eventLog, rules, log: silentLog });
  t.after(() => leader.stop());
  gated.open = false;
  gated.sizes.length = 0;
  const first = leader.command(submit("b0"));
  await settled();
  const others = Array.from({ length: 20 }, (_, i) => leader.command(submit(`b${i + 1}`)));
  await settled();
  gated.let();
  await first;
  await settled();
  gated.let();
  await Promise.all(others);
  assert.deepEqual(gated.sizes, [1, 20]);
});

test("a leader that was overtaken answers UNAVAILABLE and reports itself broken", async () => {
  const eventLog = memoryEventLog();
  const old = await Leader.open({ eventLog, rules, log: silentLog });
  await old.command(submit("b1"));
  const next = await Leader.open({ eventLog, rules, log: silentLog });
  assert.equal(next.term, old.term + 1);
  await assert.rejects(old.command(submit("b2")), { code: "UNAVAILABLE" });
  await assert.rejects(old.broken, { code: "UNAVAILABLE" });
  await assert.rejects(
    old.query(() => 0),
    { code: "UNAVAILABLE" },
  );
  assert.deepEqual(await next.query(({ state }) => [...state.batches.keys()]), ["b1"]);
  await next.stop();
});

test("an append whose outcome is unclear ends the leader, and the replay tells", async () => {
  const inner = memoryEventLog();
  let unclear = false;
  const eventLog: EventLog = {
    replay: inner.replay,
    append: async (events, after) => {
      const sequence = await inner.append(events, after);
      if (unclear) throw new FarmError("UNAVAILABLE", "the log does not answer: timeout");
      return sequence;
    },
  };
  const leader = await Leader.open({ eventLog, rules, log: silentLog });
  unclear = true;
  await assert.rejects(leader.command(submit("b1")), { code: "UNAVAILABLE" });
  unclear = false;
  const again = await Leader.open({ eventLog, rules, log: silentLog });
  assert.equal(await again.query(({ state }) => state.batches.size), 1);
  await again.stop();
});

test("a command that only touches memory costs no append", async (t) => {
  const gated = gatedLog();
  const leader = await Leader.open({ eventLog: gated.eventLog, rules, log: silentLog });
  t.after(() => leader.stop());
  const turns: Turn[] = [];
  leader.onTurn((turn) => turns.push(turn));
  await leader.command({ type: "hello", hello: testHello("w1") });
  assert.deepEqual(gated.sizes, [1], "LeaderStarted alone");
  assert.equal(turns.length, 1);
});

test("a stopped leader takes no more commands", async () => {
  const leader = await Leader.open({ eventLog: memoryEventLog(), rules, log: silentLog });
  await leader.stop();
  await assert.rejects(leader.command(submit("b1")), { code: "UNAVAILABLE" });
});
