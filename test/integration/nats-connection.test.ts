// The way to NATS: which addresses are taken, which server is found, and how long one that has gone
// silent can deceive.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../../common/clock.js";
import { silentLog } from "../../common/log.js";
import { connectNats, onDisconnect, whileConnected } from "../../coordinator/nats/connection.js";
import { testCluster } from "../support/nats-cluster.js";
import { testNats } from "../support/nats-server.js";

/** Nobody listens on it. */
const dead = "nats://127.0.0.1:1";

for (const urls of ["", "nats://", "http://127.0.0.1:1", `${dead},`, `${dead} ${dead}`]) {
  test(`"${urls}" is no NATS address`, async () => {
    await assert.rejects(connectNats(urls, silentLog), { code: "INVALID_ARGUMENT" });
  });
}

test("two users in one address are refused, and no password is said", async () => {
  const urls = "nats://a:secret@127.0.0.1:1,nats://b:secret@127.0.0.1:2";
  await assert.rejects(connectNats(urls, silentLog), (error: Error) => {
    assert.match(error.message, /one user and password/);
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
});

test("the server that is there is found among those that are not", async (t) => {
  const nats = await testNats(t);
  const connection = await connectNats(`${dead},${nats.url}`, silentLog);
  await connection.flush();
  await connection.close();
});

test("a wrong password is told at once", async (t) => {
  const nats = await testNats(t);
  const wrong = new URL(nats.url);
  wrong.password = "wrong";
  const startMs = performance.now();
  await assert.rejects(connectNats(wrong.href, silentLog), {
    code: "UNAVAILABLE",
    message: /Authorization Violation/,
  });
  assert.ok(performance.now() - startMs < 4_000, "it did not wait for a server to come up");
});

test("a server that goes silent is given up, and found again when it speaks", async (t) => {
  const cluster = await testCluster(t, 1);
  const [server] = cluster.servers;
  assert.ok(server);
  const connection = await cluster.connect();
  assert.equal(await whileConnected(connection, async () => "fine"), "fine");
  const broken = new Promise<void>((resolve) => onDisconnect(connection, resolve));
  await server.holdUp();
  const patience = { timeout: 60_000 };
  const asked = whileConnected(connection, () =>
    connection.request("nobody.is.there", "", patience),
  );
  asked.catch(() => {});
  const enough = new AbortController();
  const deceived = sleep(30_000, enough.signal).then(
    () => assert.fail("still deceived after 30 s"),
    () => {},
  );
  await Promise.race([broken, deceived]);
  enough.abort();
  await assert.rejects(asked, { code: "UNAVAILABLE", message: /is down/ });
  await server.goOn();
  while ((await whileConnected(connection, async () => "up").catch(() => "down")) === "down") {
    await sleep(20);
  }
  await connection.flush();
});
