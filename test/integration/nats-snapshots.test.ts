// Snapshots on a real nats-server: the newest whole one is found, whatever lies beside it.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { NatsConnection } from "nats";
import { openSnapshots } from "../../coordinator/nats/snapshots.js";
import { testNats } from "../support/nats-server.js";

/** About 1.3 MB: six chunks. */
const textOf = (sequence: number) => `state as of ${sequence}, ü `.repeat(50_000);

async function open(t: TestContext) {
  const nats = await testNats(t);
  const connection = await nats.connect();
  return { connection, nats, snapshots: await openSnapshots(connection, "test") };
}

async function streamNames(connection: NatsConnection): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const name of (await connection.jetstreamManager()).streams.names()) names.push(name);
  return names;
}

/** Writes a snapshot's messages by hand, as a writer that has a fault would. */
async function forge(connection: NatsConnection, sequence: number, messages: readonly string[]) {
  const manager = await connection.jetstreamManager();
  const subject = `tocafarm.test.snapshots.${sequence}.f`;
  const name = `TOCAFARM_test@snapshot@${sequence}@f`;
  await manager.streams.add({ name, subjects: [subject], allow_direct: true });
  for (const message of messages) await connection.jetstream().publish(subject, message);
}

const sealOf = (text: string, chunks: number) =>
  JSON.stringify({ version: 1, chunks, sha256: createHash("sha256").update(text).digest("hex") });

test("what was saved last comes back, and what was before it is given up", async (t) => {
  const { connection, nats, snapshots } = await open(t);
  assert.equal(await snapshots.newest(), null);
  await snapshots.save(10, textOf(10));
  await snapshots.save(20, textOf(20));
  const others = await openSnapshots(await nats.connect(), "test");
  assert.deepEqual(await others.newest(), { sequence: 20, text: textOf(20) });
  assert.equal((await streamNames(connection)).length, 1);
});

test("an empty state is a state", async (t) => {
  const { snapshots } = await open(t);
  await snapshots.save(1, "");
  assert.deepEqual(await snapshots.newest(), { sequence: 1, text: "" });
});

test("a snapshot of another pool is nobody's business", async (t) => {
  const { nats, snapshots } = await open(t);
  const others = await openSnapshots(await nats.connect(), "test-2");
  await others.save(9, "other");
  assert.equal(await snapshots.newest(), null);
  await snapshots.save(10, "own");
  assert.deepEqual(await others.newest(), { sequence: 9, text: "other" });
});

for (const [fault, messages] of [
  ["has no seal", ["half", "and half"]],
  ["has nothing in it", []],
  ["lacks a chunk", ["half", sealOf("halfand half", 2)]],
  ["holds other bytes than its seal says", ["half", "and half", sealOf("something else", 2)]],
  ["has a seal of another form", ["half", '{"version":2,"chunks":1}']],
] as const) {
  test(`a newer snapshot that ${fault} is passed over, and gone after the next one`, async (t) => {
    const { connection, snapshots } = await open(t);
    await snapshots.save(10, textOf(10));
    await forge(connection, 11, messages);
    assert.deepEqual(await snapshots.newest(), { sequence: 10, text: textOf(10) });
    await snapshots.save(12, textOf(12));
    assert.deepEqual(await snapshots.newest(), { sequence: 12, text: textOf(12) });
    assert.equal((await streamNames(connection)).length, 1);
  });
}

test("a forged snapshot that is whole is read, so those faults are what counts", async (t) => {
  const { connection, snapshots } = await open(t);
  await forge(connection, 11, ["half", "and half", sealOf("halfand half", 2)]);
  assert.deepEqual(await snapshots.newest(), { sequence: 11, text: "halfand half" });
});

test("two writers at once leave a whole snapshot, the newer one", async (t) => {
  const { nats, snapshots } = await open(t);
  const overtaken = await openSnapshots(await nats.connect(), "test");
  const [older, newer] = await Promise.allSettled([
    overtaken.save(10, textOf(10)),
    snapshots.save(11, textOf(11)),
  ]);
  assert.equal(newer.status, "fulfilled");
  if (older.status === "rejected") assert.match(`${older.reason.code}`, /^(?:IO|UNAVAILABLE)$/);
  assert.deepEqual(await snapshots.newest(), { sequence: 11, text: textOf(11) });
  await Promise.all([overtaken.save(12, textOf(12)), snapshots.save(12, textOf(12))]);
  assert.deepEqual(await overtaken.newest(), { sequence: 12, text: textOf(12) });
});
