// One lease ahead under load: two devices that are given a clip whenever they ask for one.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Progress } from "../../proto/gen/tocafarm/v1/worker.js";
import { type TestLease, testLease, WorkerLinkServer } from "../support/worker-link-server.js";
import { descendants, startWorkerProcess } from "../support/worker-process.js";

const devices = ["cpu", "cuda:0"]; // the test double takes any name

async function loaded(t: TestContext): Promise<WorkerLinkServer> {
  const server = new WorkerLinkServer();
  await server.start();
  t.after(() => server.stop());
  return server;
}

function progresses(server: WorkerLinkServer, from = 0): readonly Progress[] {
  return server.said.slice(from).flatMap((said) => (said.$case === "progress" ? [said.value] : []));
}

/** Gives every device that asks its next clip; resolves when so many were given. */
async function feed(server: WorkerLinkServer, count: number): Promise<Map<string, TestLease>> {
  const given = new Map<string, TestLease>();
  for (let at = 0; given.size < count; ) {
    await server.progress(({ idleDevices }) => idleDevices.length > 0, at);
    for (; at < server.said.length && given.size < count; at += 1) {
      const said = server.said[at];
      for (const device of said?.$case === "progress" ? said.value.idleDevices : []) {
        const lease = { ...testLease({}, { steps: 20 }), device };
        given.set(lease.attempt.segmentId, lease);
        server.lease(lease);
      }
    }
  }
  return given;
}

test("a device holds one clip that is not begun, never two, and renders all", async (t) => {
  const server = await loaded(t);
  const flags = devices.flatMap((device) => ["--device", device]);
  await startWorkerProcess(t, { coordinator: server.address, stepMs: 10, flags });
  const given = await feed(server, 16);
  const deviceOf = new Map([...given].map(([segment, lease]) => [segment, lease.device]));
  const ended = [...given.values()].map(({ attempt }) => server.ended(attempt));
  const ends = await Promise.all(ended);
  // What is given to a device that has asked once too often by the clock of the network comes back.
  const codes = ends.flatMap((end) => ("artifacts" in end ? [] : [end.failure?.code]));
  assert.deepEqual(new Set(codes), codes.length === 0 ? new Set() : new Set(["UNAVAILABLE"]));
  assert.ok(ends.length - codes.length >= 8, `${codes.length} came back`);
  let ahead = 0;
  for (const { attempts } of progresses(server)) {
    for (const device of devices) {
      const held = attempts.filter((told) => {
        return deviceOf.get(told.attempt?.segmentId ?? "") === device;
      });
      const waiting = held.filter(({ stage }) => stage === "").length;
      assert.ok(held.length <= 2 && waiting <= 1, JSON.stringify(held.map(({ stage }) => stage)));
      ahead += waiting;
    }
  }
  assert.ok(ahead > 0, "some clip was seen waiting");
});

test("an engine that dies takes its clip, gives back the next one, and comes back", async (t) => {
  const server = await loaded(t);
  const worker = await startWorkerProcess(t, { coordinator: server.address, stepMs: 20 });
  await server.idle();
  const [first, second] = [testLease({}, { steps: 1000 }), testLease()];
  server.lease(first);
  server.lease(second);
  await server.reached(first.attempt, 2);
  for (const pid of await descendants(worker.pid)) process.kill(pid, "SIGKILL");
  assert.equal((await server.failed(first.attempt)).failure?.code, "ENGINE_CRASH");
  assert.equal((await server.failed(second.attempt)).failure?.code, "INTERRUPTED");
  await server.idle(server.said.length - 1);
  const again = testLease({ again: second, attempt: 2 });
  server.lease(again);
  await server.completed(again.attempt);
});

test("a lease and its cancel that come together leave nothing behind", async (t) => {
  const server = await loaded(t);
  await startWorkerProcess(t, { coordinator: server.address });
  await server.idle();
  for (let round = 0; round < 5; round += 1) {
    const [first, second] = [testLease({}, { steps: 500 }), testLease({}, { steps: 500 })];
    for (const lease of [first, second]) server.lease(lease);
    for (const lease of [second, first]) server.cancel(lease.attempt);
    for (const lease of [first, second]) {
      assert.equal((await server.failed(lease.attempt)).failure?.code, "CANCELLED");
    }
  }
  const lease = testLease();
  server.lease(lease);
  await server.completed(lease.attempt);
});
