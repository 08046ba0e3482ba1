import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { FarmError } from "../common/errors.js";
import { callUnary, startRpcServer, unary } from "../common/rpc.js";
import type { RenderFarmClient } from "../proto/gen/tocafarm/v1/farm.js";
import { findCoordinators } from "./coordinator-address.js";
import { CoordinatorChannel, Patience, patienceMs } from "./coordinator-channel.js";

const listWorkers = {
  path: "/tocafarm.v1.RenderFarm/ListWorkers",
  requestStream: false,
  responseStream: false,
  requestSerialize: () => Buffer.alloc(0),
  requestDeserialize: () => ({}),
  responseSerialize: () => Buffer.alloc(0),
  responseDeserialize: () => ({}),
} as const;

/** A coordinator that answers as `answer` says. */
async function coordinator(t: TestContext, answer: () => Promise<object>): Promise<string> {
  const serving = await startRpcServer("127.0.0.1:0", (grpc) =>
    grpc.addService({ listWorkers }, { listWorkers: unary(answer) }),
  );
  t.after(() => serving.stop(0));
  return serving.address;
}

const nobody = "127.0.0.1:9";
const ask = (client: RenderFarmClient) => callUnary(client.listWorkers.bind(client), {});

function channelTo(t: TestContext, ...addresses: readonly string[]) {
  const away: string[] = [];
  const channel = new CoordinatorChannel({
    addresses: () => addresses,
    onAway: (line) => away.push(line),
  });
  t.after(() => channel.close());
  return { channel, away };
}

test("a call goes to the next address where nobody answers, and says so once", async (t) => {
  const here = await coordinator(t, async () => ({}));
  const { channel, away } = channelTo(t, nobody, nobody, here);
  await channel.call(ask);
  assert.equal(away.length, 1);
  assert.match(away[0] ?? "", /no coordinator answers at 127\.0\.0\.1:9 or .*; trying again/);
  await channel.call(ask);
  assert.equal(away.length, 1, "it stays with the one that answers");
});

test("one that is not ready yet is asked again, another refusal is told at once", async (t) => {
  let calls = 0;
  const starting = await coordinator(t, async () => {
    calls += 1;
    if (calls < 3) throw new FarmError("UNAVAILABLE", "a standby takes over");
    if (calls > 3) throw new FarmError("NOT_FOUND", "no such thing");
    return {};
  });
  const { channel } = channelTo(t, starting);
  await channel.call(ask);
  assert.equal(calls, 3);
  await assert.rejects(channel.call(ask), { code: "NOT_FOUND" });
  assert.equal(calls, 4);
});

test("a coordinator that came back elsewhere is found", async (t) => {
  const here = await coordinator(t, async () => ({}));
  const places = [[nobody], null, [here]];
  const channel = new CoordinatorChannel({
    addresses: () => {
      const place = places.length > 1 ? places.shift() : places[0];
      if (!place) throw new FarmError("UNAVAILABLE", "no coordinator runs here");
      return place;
    },
  });
  t.after(() => channel.close());
  await channel.call(ask);
});

test("patience begins anew for a download that broke after a while, a few times", () => {
  const short = new Patience(0);
  assert.ok(short.lasts(0, 100));
  assert.ok(short.lasts(300, patienceMs));
  assert.ok(!short.lasts(patienceMs, patienceMs + 1));

  const long = new Patience(0);
  const tryMs = 2 * patienceMs;
  let broken = 0;
  while (long.lasts(broken * tryMs, (broken + 1) * tryMs)) broken += 1;
  assert.equal(broken, 5);
});

test("whoever is interrupted waits no longer", async (t) => {
  const { channel } = channelTo(t, nobody);
  const signal = AbortSignal.timeout(100);
  const startedMs = performance.now();
  await assert.rejects(channel.call(ask, signal));
  assert.ok(performance.now() - startedMs < 5_000);
});

test("addresses are several with commas, each of them one", () => {
  assert.deepEqual(findCoordinators({ coordinator: "a:1, b:2" }, {}), ["a:1", "b:2"]);
  const env = { TOCAFARM_COORDINATOR: "c:3,d:4" };
  assert.deepEqual(findCoordinators({}, env), ["c:3", "d:4"]);
  assert.throws(() => findCoordinators({ coordinator: "a:1,,b:2" }, {}), {
    code: "INVALID_ARGUMENT",
  });
});
