// The log on a real nats-server: what it promises to its one writer and its many readers.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { RetentionPolicy, StorageType } from "nats";
import { sleep } from "../../common/clock.js";
import { packageRoot } from "../../common/paths.js";
import { apply } from "../../coordinator/core/apply.js";
import type { FarmEvent } from "../../coordinator/core/events.js";
import { emptyState } from "../../coordinator/core/state.js";
import { decodeTurn } from "../../coordinator/nats/event-codec.js";
import { openEventLog } from "../../coordinator/nats/event-log.js";
import type { EventLog } from "../../coordinator/ports.js";
import { patiently, testCluster } from "../support/nats-cluster.js";
import { testNats } from "../support/nats-server.js";

const turnOf = (sequence: number): readonly FarmEvent[] => [
  { type: "WorkerDrained", at: sequence, worker: `w${sequence}` },
];

/** Appends turns up to `last`, whose events name their sequence, behind a replay of the newest. */
async function appendUpTo(log: EventLog, last: number, known = 0): Promise<void> {
  let sequence = await log.replay(known, () => {});
  while (sequence < last) sequence = await log.append(turnOf(sequence + 1), sequence);
}

/** The sequences behind `after`, each of which carries its own events. */
async function replayed(log: EventLog, after: number): Promise<readonly number[]> {
  const seen: number[] = [];
  const last = await log.replay(after, (events, sequence) => {
    assert.deepEqual(events, turnOf(sequence));
    seen.push(sequence);
  });
  assert.equal(last, seen.at(-1) ?? after);
  return seen;
}

/** Resolves once the follower has had the turn; throws what ends it before. */
async function caughtUp(seen: readonly number[], last: number, following: Promise<void>) {
  const ended = following.then(() => assert.fail("the follower has ended"));
  ended.catch(() => {});
  while (seen.at(-1) !== last) await Promise.race([sleep(10), ended]);
}

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

test("turns come back in their order, from any place on", async (t) => {
  const nats = await testNats(t);
  const log = await openEventLog(await nats.connect(), "test");
  assert.deepEqual(await replayed(log, 0), []);
  await appendUpTo(log, 20);
  const other = await openEventLog(await nats.connect(), "test");
  assert.deepEqual(await replayed(other, 0), range(1, 20));
  assert.deepEqual(await replayed(other, 15), range(16, 20));
  assert.deepEqual(await replayed(other, 20), []);
  await assert.rejects(
    other.replay(21, () => {}),
    { code: "UNAVAILABLE", message: /ends at 20/ },
  );
  assert.equal((await log.extent()).turns, 20);
});

test("a writer that was overtaken is refused, and goes on after a replay", async (t) => {
  const nats = await testNats(t);
  const first = await openEventLog(await nats.connect(), "test");
  const second = await openEventLog(await nats.connect(), "test");
  await appendUpTo(first, 3);
  await appendUpTo(second, 4);
  await assert.rejects(first.append(turnOf(4), 3), { code: "UNAVAILABLE", message: /another/ });
  await appendUpTo(first, 5);
  assert.deepEqual(await replayed(second, 0), range(1, 5));
});

test("a cut log is read from behind the cut, and goes on over every cut", async (t) => {
  const nats = await testNats(t);
  const log = await openEventLog(await nats.connect(), "test");
  const reader = await openEventLog(await nats.connect(), "test");
  await appendUpTo(log, 10);
  await log.cut(4);
  await appendUpTo(log, 20);
  assert.deepEqual(await replayed(reader, 4), range(5, 20), "the part with turn 4 is still there");
  await log.cut(15);
  await appendUpTo(log, 30, 15);
  assert.deepEqual(await replayed(reader, 15), range(16, 30));
  await assert.rejects(
    reader.replay(3, () => {}),
    { code: "IO", message: /behind 3 were cut off/ },
  );
  await log.cut(3);
  await log.cut(0);
  assert.deepEqual(await replayed(reader, 10), range(11, 30));
  assert.equal((await log.extent()).turns, 20);
});

test("who was overtaken can neither append to an ended part nor end one", async (t) => {
  const nats = await testNats(t);
  const overtaken = await openEventLog(await nats.connect(), "test");
  const leader = await openEventLog(await nats.connect(), "test");
  await appendUpTo(overtaken, 5);
  await appendUpTo(leader, 5);
  await leader.cut(5);
  await assert.rejects(overtaken.append(turnOf(6), 5), { code: "UNAVAILABLE" });
  await appendUpTo(leader, 6);
  await overtaken.cut(5);
  assert.deepEqual(await replayed(leader, 0), range(1, 6));
  await appendUpTo(overtaken, 7);
  assert.deepEqual(await replayed(leader, 0), range(1, 7));
});

test("a reader follows the log over cuts, each turn once", async (t) => {
  const nats = await testNats(t);
  const log = await openEventLog(await nats.connect(), "test");
  const reader = await openEventLog(await nats.connect(), "test");
  await appendUpTo(log, 5);
  const stop = new AbortController();
  const seen: number[] = [];
  const following = reader.follow(2, (_, sequence) => seen.push(sequence), stop.signal);
  for (const last of [10, 20, 30]) {
    await appendUpTo(log, last, last - 10);
    await caughtUp(seen, last, following); // who is behind a cut has to begin anew
    await log.cut(last);
  }
  await appendUpTo(log, 31, 30);
  await caughtUp(seen, 31, following);
  stop.abort();
  await following;
  assert.deepEqual(seen, range(3, 31));
});

test("what a reader throws ends its reading", async (t) => {
  const nats = await testNats(t);
  const log = await openEventLog(await nats.connect(), "test");
  await appendUpTo(log, 3);
  const failing = (_: unknown, sequence: number) => assert.notEqual(sequence, 2, "not this one");
  await assert.rejects(log.replay(0, failing), /not this one/);
  const endless = new AbortController();
  await assert.rejects(log.follow(0, failing, endless.signal), /not this one/);
});

test("a follower outlives a killed server and one that stands still", async (t) => {
  const cluster = await testCluster(t, 1);
  const [server] = cluster.servers;
  assert.ok(server);
  const log = await openEventLog(await cluster.connect(), "test");
  const reader = await openEventLog(await cluster.connect(), "test");
  const stop = new AbortController();
  const seen: number[] = [];
  const following = reader.follow(0, (_, sequence) => seen.push(sequence), stop.signal);
  await appendUpTo(log, 5);
  await server.kill();
  server.start();
  await patiently(() => appendUpTo(log, 10));
  await server.holdUp();
  await assert.rejects(log.append(turnOf(11), 10), { code: "UNAVAILABLE" });
  server.goOn();
  await patiently(() => appendUpTo(log, 15));
  await caughtUp(seen, 15, following);
  stop.abort();
  await following;
  assert.deepEqual(seen, range(1, 15));
});

test("a log of version 1 opens, in the stream that version 0.1 made for it", async (t) => {
  const nats = await testNats(t);
  const connection = await nats.connect();
  const manager = await connection.jetstreamManager();
  await manager.streams.add({
    name: "TOCAFARM_test",
    subjects: ["tocafarm.test.events"],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    deny_delete: true,
    deny_purge: true,
  });
  const file = path.join(packageRoot(), "test", "event-logs", "version-1.jsonl");
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  for (const line of lines) await connection.jetstream().publish("tocafarm.test.events", line);
  const log = await openEventLog(connection, "test");
  const state = emptyState();
  const last = await log.replay(0, (events, sequence) => {
    assert.deepEqual(events, decodeTurn(Buffer.from(lines[sequence - 1] ?? "")));
    for (const event of events) apply(state, event, sequence);
  });
  assert.equal(last, lines.length);
  assert.equal(state.term, 1);
  assert.deepEqual([...state.batches.keys()], ["b1", "b2"]);
  const next: FarmEvent = { type: "LeaderStarted", at: 200_000, term: 2 };
  assert.equal(await log.append([next], last), last + 1);
  await log.cut(last + 1);
  assert.equal(await log.append(turnOf(last + 2), last + 1), last + 2);
  assert.equal(await log.replay(last + 1, () => {}), last + 2);
});
