import assert from "node:assert/strict";
import { test } from "node:test";
import { FarmError } from "../common/errors.js";
import { silentLog } from "../common/log.js";
import { testHello, testSubmission } from "../test/support/coordinator-core.js";
import type { Command } from "./core/commands.js";
import type { FarmEvent } from "./core/events.js";
import { defaultRules } from "./core/rules.js";
import { Leader } from "./leader.js";
import { memoryEventLog } from "./memory/event-log.js";
import { memorySnapshots } from "./memory/snapshots.js";
import { openState } from "./opening.js";
import type { EventLog, Turn } from "./ports.js";

const stopped = new FarmError("UNAVAILABLE", "the test stops the leader");

/** Reads the log and leads. */
async function lead(eventLog: EventLog, stillMsMax = Number.POSITIVE_INFINITY): Promise<Leader> {
  const { state } = await openState({ eventLog, snapshots: memorySnapshots(), log: silentLog });
  return Leader.begin({ eventLog, state, rules: defaultRules, log: silentLog, stillMsMax });
}

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
      ...inner,
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
  const leader = await lead(gated.eventLog);
  t.after(() => leader.stop(stopped));
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
  const leader = await lead(gated.eventLog);
  t.after(() => leader.stop(stopped));
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
  const old = await lead(eventLog);
  await old.command(submit("b1"));
  const next = await lead(eventLog);
  assert.equal(next.term, old.term + 1);
  await assert.rejects(old.command(submit("b2")), { code: "UNAVAILABLE" });
  await assert.rejects(old.broken, { code: "UNAVAILABLE" });
  await assert.rejects(
    old.query(() => 0),
    { code: "UNAVAILABLE" },
  );
  assert.deepEqual(await next.query(({ state }) => [...state.batches.keys()]), ["b1"]);
  await next.stop(stopped);
});

test("an append whose outcome is unclear ends the leader, and the replay tells", async () => {
  const inner = memoryEventLog();
  let unclear = false;
  const eventLog: EventLog = {
    ...inner,
    append: async (events, after) => {
      const sequence = await inner.append(events, after);
      if (unclear) throw new FarmError("UNAVAILABLE", "the log does not answer: timeout");
      return sequence;
    },
  };
  const leader = await lead(eventLog);
  unclear = true;
  await assert.rejects(leader.command(submit("b1")), { code: "UNAVAILABLE" });
  unclear = false;
  const again = await lead(eventLog);
  assert.equal(await again.query(({ state }) => state.batches.size), 1);
  await again.stop(stopped);
});

test("a command that only touches memory costs no append", async (t) => {
  const gated = gatedLog();
  const leader = await lead(gated.eventLog);
  t.after(() => leader.stop(stopped));
  const turns: Turn[] = [];
  leader.onTurn((turn) => turns.push(turn));
  await leader.command({ type: "hello", hello: testHello("w1") });
  assert.deepEqual(gated.sizes, [1], "LeaderStarted alone");
  assert.equal(turns.length, 1);
});

test("a stopped leader takes no more commands", async () => {
  const leader = await lead(memoryEventLog());
  await leader.stop(stopped);
  await assert.rejects(leader.command(submit("b1")), { code: "UNAVAILABLE" });
});

test("a leader that stood still for too long answers nothing from what it remembers", async () => {
  const leader = await lead(memoryEventLog(), 200);
  await leader.command(submit("b1"));
  const wakeAt = performance.now() + 400;
  while (performance.now() < wakeAt); // no timer and no message is served meanwhile
  await assert.rejects(
    leader.query(({ state }) => state.batches.size),
    { code: "UNAVAILABLE", message: /stood still for \d+\.\d s/ },
  );
  await assert.rejects(leader.command(submit("b2")), { code: "UNAVAILABLE" });
  await assert.rejects(leader.broken, { code: "UNAVAILABLE" });
});

test("what is in flight when a leader is stopped is answered from the log", async () => {
  const gated = gatedLog();
  const leader = await lead(gated.eventLog);
  gated.open = false;
  const inFlight = leader.command(submit("b1"));
  await settled();
  const waiting = leader.command(submit("b2"));
  const stopping = leader.stop(stopped);
  await assert.rejects(waiting, { code: "UNAVAILABLE" });
  gated.let();
  await stopping;
  assert.equal((await inFlight).batch, "b1");
});

test("when a turn cannot be decided, nobody is left waiting for it", async () => {
  const leader = await lead(memoryEventLog());
  const unknown = { type: "unknown to the core" } as unknown as Command;
  const commands = [submit("b1"), unknown, submit("b2")].map((command) => leader.command(command));
  for (const { status } of await Promise.allSettled(commands)) assert.equal(status, "rejected");
  await assert.rejects(leader.broken, { code: "UNAVAILABLE" });
});
