// One seat for many coordinators, on a real nats-server: who gets it, when it changes hands, and
// that nobody still thinks to have it when the next one does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../../common/clock.js";
import { openLeadership } from "../../coordinator/nats/leadership.js";
import type { LeaderInfo, Reign } from "../../coordinator/ports.js";
import { testCluster } from "../support/nats-cluster.js";
import { testNats } from "../support/nats-server.js";

const info = (id: string): LeaderInfo => ({ id, grpc: `${id}.example:7000` });

const never = new AbortController().signal;

/** When a reign was lost by its holder's own count; null while it lasts. */
function lostAt(reign: Reign): () => number | null {
  let atMs: number | null = null;
  reign.lost.catch(() => {
    atMs = performance.now();
  });
  return () => atMs;
}

test("one of two gets the seat, and the other one once it is given up", async (t) => {
  const nats = await testNats(t);
  const first = await openLeadership(await nats.connect(), "test");
  const second = await openLeadership(await nats.connect(), "test");
  assert.equal(first.leader(), null);
  const reign = await first.campaign(info("a"), never);
  assert.deepEqual(first.leader(), info("a"));
  let taken = false;
  const waiting = second.campaign(info("b"), never).then((next) => {
    taken = true;
    return next;
  });
  await sleep(4_000); // longer than a silent leader would be left in peace
  assert.equal(taken, false);
  assert.deepEqual(second.leader(), info("a"));
  await reign.resign();
  assert.equal(first.leader(), null);
  const next = await waiting;
  assert.deepEqual(second.leader(), info("b"));
  await next.resign();
});

test("a campaign ends with the signal's reason", async (t) => {
  const nats = await testNats(t);
  const leadership = await openLeadership(await nats.connect(), "test");
  const reign = await leadership.campaign(info("a"), never);
  const stop = new AbortController();
  const other = await openLeadership(await nats.connect(), "test");
  const campaign = other.campaign(info("b"), stop.signal);
  stop.abort(new Error("enough"));
  await assert.rejects(campaign, /enough/);
  await reign.resign();
});

test("a leader that is cut off counts itself out before the next one follows", async (t) => {
  const nats = await testNats(t);
  const connection = await nats.connect();
  const first = await openLeadership(connection, "test");
  const second = await openLeadership(await nats.connect(), "test");
  const reign = await first.campaign(info("a"), never);
  const lost = lostAt(reign);
  const campaign = second.campaign(info("b"), never);
  await sleep(1_500);
  assert.equal(lost(), null);
  await connection.close();
  const next = await campaign;
  const takenAt = performance.now();
  const lostMs = lost();
  assert.ok(lostMs !== null && lostMs < takenAt, `lost at ${lostMs}, taken at ${takenAt}`);
  await assert.rejects(reign.lost, { code: "UNAVAILABLE", message: /not renewed within 2.5 s/ });
  await next.resign();
});

test("a server that stands still ends a reign, and one of the two leads afterwards", async (t) => {
  const cluster = await testCluster(t, 1);
  const [server] = cluster.servers;
  assert.ok(server);
  const first = await openLeadership(await cluster.connect(), "test");
  const second = await openLeadership(await cluster.connect(), "test");
  const reign = await first.campaign(info("a"), never);
  const lost = lostAt(reign);
  const stop = new AbortController();
  const campaigns = [second.campaign(info("b"), stop.signal)];
  await server.holdUp();
  await assert.rejects(reign.lost, { code: "UNAVAILABLE" });
  assert.notEqual(lost(), null);
  campaigns.push(first.campaign(info("a"), stop.signal));
  server.goOn();
  const next = await Promise.race(campaigns);
  const again = lostAt(next);
  await sleep(3_500);
  assert.equal(again(), null, "and nobody takes it away again");
  stop.abort(new Error("over"));
  assert.equal(
    (await Promise.allSettled(campaigns)).filter(({ status }) => status === "rejected").length,
    1,
  );
  await next.resign();
});
