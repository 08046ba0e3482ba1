// Two replicas of one pool over one log in memory: who leads, who follows, what is seen when.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { FarmError } from "../common/errors.js";
import { silentLog } from "../common/log.js";
import { testHello, testSubmission } from "../test/support/coordinator-core.js";
import { eventually } from "../test/support/coordinator-process.js";
import { defaultRules } from "./core/rules.js";
import { encodeState } from "./core/snapshot.js";
import { emptyState } from "./core/state.js";
import { memoryEventLog } from "./memory/event-log.js";
import { memorySeat } from "./memory/leadership.js";
import { memorySnapshots } from "./memory/snapshots.js";
import { openState, replayInto } from "./opening.js";
import type { EventLog, Leadership, Life, SnapshotStore } from "./ports.js";
import { Replica } from "./replica.js";
import { keepSnapshots, takeSnapshot } from "./snapshots.js";

interface PoolOptions {
  readonly eventLog?: EventLog;
  readonly leadership?: Leadership;
  readonly snapshots?: SnapshotStore;
}

/** Replicas of one pool; they stop with the test. */
function pool(t: TestContext, { eventLog, leadership, snapshots }: PoolOptions = {}) {
  const seat = memorySeat();
  const shared = {
    eventLog: eventLog ?? memoryEventLog(),
    snapshots: snapshots ?? memorySnapshots(),
    leadership: leadership ?? seat.leadership,
  };
  const start = async (id: string, changes: PoolOptions = {}): Promise<Replica> => {
    const replica = new Replica();
    t.after(() => replica.stop());
    await replica.start({
      ...{ ...shared, ...changes, rules: defaultRules, log: silentLog, random: () => 0 },
      ...{ self: { id, grpc: `${id}:1` }, stillMsMax: Number.POSITIVE_INFINITY, duties: () => [] },
    });
    return replica;
  };
  return { ...shared, seat, start };
}

const submit = (batch: string) =>
  ({ type: "submit", submission: testSubmission(batch, { clips: 2 }) }) as const;

function lifeOf({ life }: Replica): Life {
  if (life === null) throw new Error("the replica reads the log");
  return life;
}

const batchesOf = (replica: Replica) =>
  lifeOf(replica).query(({ state }) => [...state.batches.keys()]);

const leads = (replica: Replica) => () => replica.life?.leads || undefined;

test("one replica leads, the other follows, reads, and refuses commands", async (t) => {
  const { start } = pool(t);
  const first = await start("a");
  const second = await start("b");
  assert.ok(lifeOf(first).leads && !lifeOf(second).leads);
  assert.equal(second.leader?.grpc, "a:1");
  await lifeOf(first).command(submit("b1"));
  const { sequence } = lifeOf(first);
  await lifeOf(second).reached(sequence, AbortSignal.timeout(1_000));
  assert.deepEqual(await batchesOf(second), ["b1"]);
  assert.equal(lifeOf(second).sequence, sequence);
  await assert.rejects(lifeOf(second).command(submit("b2")), {
    code: "UNAVAILABLE",
    message: /is a standby/,
  });
});

test("when the leader stops, the standby leads at once and goes on where it was", async (t) => {
  const { start } = pool(t);
  const first = await start("a");
  const second = await start("b");
  const standby = lifeOf(second);
  const seen: string[] = [];
  standby.onTurn(({ events }) => seen.push(...events.map(({ type }) => type)));
  await lifeOf(first).command(submit("b1"));
  const before = lifeOf(first);
  await first.stop();
  assert.ok(before.over.aborted);
  await eventually(leads(second), 1_000);
  assert.equal(lifeOf(second), standby, "no second reading of the log");
  assert.equal(standby.term, 2);
  await standby.command(submit("b2"));
  assert.deepEqual(await batchesOf(second), ["b1", "b2"]);
  assert.deepEqual(seen, ["BatchAccepted", "LeaderStarted", "BatchAccepted"]);
});

test("a deposed leader's hopes are never seen, and it begins again as a standby", async (t) => {
  const inner = memoryEventLog();
  let wait: Promise<void> | undefined;
  const slow: EventLog = {
    ...inner,
    append: async (events, after) => {
      await wait;
      return inner.append(events, after);
    },
  };
  const { start, seat } = pool(t, { eventLog: inner });
  const first = await start("a", { eventLog: slow });
  const second = await start("b");
  await lifeOf(first).command(submit("b1"));
  const old = lifeOf(first);
  let release = () => {};
  wait = new Promise((resolve) => {
    release = resolve;
  });
  const hoped = old.command(submit("b2"));
  const refused = [assert.rejects(hoped, { code: "UNAVAILABLE" })];
  await new Promise((resolve) => setTimeout(resolve, 5));
  const read = old.query(({ state }) => state.batches.has("b2"));
  refused.push(assert.rejects(read, { code: "UNAVAILABLE" }));
  seat.depose();
  await eventually(leads(second), 1_000);
  await assert.rejects(
    old.query(({ state }) => state.batches.size),
    { code: "UNAVAILABLE" },
  );
  await lifeOf(second).command(submit("b3"));
  wait = undefined;
  release();
  await Promise.all(refused);
  const again = await eventually(() => (first.life !== old && first.life) || undefined, 1_000);
  assert.ok(!again.leads && old.over.aborted);
  await again.reached(lifeOf(second).sequence, AbortSignal.timeout(1_000));
  assert.deepEqual(await batchesOf(first), ["b1", "b3"]);
});

test("an append with an unclear outcome ends the reign, and the log says what holds", async (t) => {
  const inner = memoryEventLog();
  let unclear = false;
  const eventLog: EventLog = {
    ...inner,
    append: async (events, after) => {
      const sequence = await inner.append(events, after);
      if (!unclear) return sequence;
      unclear = false;
      throw new FarmError("UNAVAILABLE", "the log does not answer: timeout");
    },
  };
  const { start } = pool(t, { eventLog });
  const replica = await start("a");
  const old = lifeOf(replica);
  unclear = true;
  await assert.rejects(old.command(submit("b1")), { code: "UNAVAILABLE" });
  await eventually(() => (replica.life !== old && leads(replica)()) || undefined, 2_000);
  assert.deepEqual(await batchesOf(replica), ["b1"]);
  const repeated = await lifeOf(replica).command(submit("b2"));
  assert.equal(repeated.refusal, null);
});

test("a standby knows no workers, and a new leader asks them anew", async (t) => {
  const { start } = pool(t);
  const first = await start("a");
  const second = await start("b");
  await lifeOf(first).command({ type: "hello", hello: testHello("w1") });
  const workersOf = (replica: Replica) => lifeOf(replica).query(({ live }) => live.workers.size);
  assert.deepEqual([await workersOf(first), await workersOf(second)], [1, 0]);
  await first.stop();
  await eventually(leads(second), 1_000);
  assert.equal(await workersOf(second), 0);
});

test("snapshot, cut log and replay give the state of the whole log", async () => {
  const eventLog = memoryEventLog();
  const whole = memoryEventLog();
  const snapshots = memorySnapshots();
  for (let at = 1; at <= 20; at++) {
    const event = { type: "LeaderStarted", at, term: at } as const;
    await eventLog.append([event], at - 1);
    await whole.append([event], at - 1);
    if (at === 12) assert.equal(await takeSnapshot({ eventLog, snapshots, log: silentLog }), 12);
  }
  await eventLog.cut(10);
  const { state, snapshotSequence } = await openState({ eventLog, snapshots, log: silentLog });
  assert.equal(snapshotSequence, 12);
  const full = emptyState();
  await replayInto(whole, full);
  assert.equal(encodeState(state), encodeState(full));
});

test("an unusable snapshot is passed over while the log is whole, and an error after", async () => {
  const eventLog = memoryEventLog();
  for (let at = 1; at <= 3; at++) {
    await eventLog.append([{ type: "LeaderStarted", at, term: at }], at - 1);
  }
  const snapshots = memorySnapshots();
  await snapshots.save(2, "no state");
  const options = { eventLog, snapshots, log: silentLog };
  const opened = await openState(options);
  assert.deepEqual([opened.state.term, opened.snapshotSequence], [3, 0]);
  await eventLog.cut(1);
  await assert.rejects(openState(options), { code: "IO", message: /snapshot is unusable/ });
});

test("a log that ends before the snapshot is not gone on with", async () => {
  const eventLog = memoryEventLog();
  await eventLog.append([{ type: "LeaderStarted", at: 1, term: 1 }], 0);
  const snapshots = memorySnapshots();
  await takeSnapshot({ eventLog, snapshots, log: silentLog });
  const options = { eventLog: memoryEventLog(), snapshots, log: silentLog };
  await assert.rejects(openState(options), {
    code: "IO",
    message: /ends at 0, before the snapshot/,
  });
});

test("the leader takes snapshots as the log grows, and cuts it behind them", async (t) => {
  const { start, eventLog, snapshots } = pool(t);
  const replica = await start("a");
  const cuts: number[] = [];
  const duty = keepSnapshots({
    life: Object.assign(lifeOf(replica), { snapshotSequence: 0 }),
    eventLog: {
      ...eventLog,
      cut: async (sequence) => {
        cuts.push(sequence);
      },
    },
    limits: { turns: 100, bytes: 1e9 },
    take: () => takeSnapshot({ eventLog, snapshots, log: silentLog }),
    log: silentLog,
  });
  t.after(() => duty.stop());
  for (let i = 0; i < 250; i++) await lifeOf(replica).command(submit(`b${i}`));
  await eventually(() => cuts.length >= 2 || undefined, 2_000);
  const newest = await snapshots.newest();
  assert.ok(newest !== null && newest.sequence >= 200);
  assert.ok(cuts.every((sequence) => sequence <= newest.sequence - 100));
});
