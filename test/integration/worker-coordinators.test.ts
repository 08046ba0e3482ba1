// An agent among several coordinators: it finds the one that leads, leaves one that is gone or
// stands still, renders on meanwhile, and says again what may not have been heard.
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { testLease, WorkerLinkServer } from "../support/worker-link-server.js";
import { descendants, startWorkerProcess } from "../support/worker-process.js";

// Noticed in 4.5 s, and two seconds more where the one that stands still is dialled again.
const leaveMsMax = 15_000;

async function serverOf(t: TestContext): Promise<WorkerLinkServer> {
  const server = new WorkerLinkServer();
  await server.start();
  t.after(() => server.stop());
  return server;
}

/** A leader in a process of its own. */
async function leaderProcess(t: TestContext): Promise<{ child: ChildProcess; address: string }> {
  const program = fileURLToPath(new URL("../support/worker-link-main.js", import.meta.url));
  const child = fork(program);
  t.after(() => child.kill("SIGKILL"));
  const [address]: unknown[] = await once(child, "message");
  return { child, address: String(address) };
}

test("an agent goes on to the leader that a standby names", async (t) => {
  const [standby, leader] = [await serverOf(t), await serverOf(t)];
  standby.leader = leader.address;
  await startWorkerProcess(t, { coordinator: standby.address });
  await leader.idle();
  const lease = testLease();
  leader.lease(lease);
  await leader.completed(lease.attempt);
  assert.deepEqual(
    standby.said.map(({ $case }) => $case),
    ["hello"],
  );
});

test("an agent asks again until one of them leads", async (t) => {
  const [one, other] = [await serverOf(t), await serverOf(t)];
  one.leader = "";
  other.leader = "nowhere";
  const coordinator = `${one.address},${other.address}`;
  await startWorkerProcess(t, { coordinator });
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const asked = other.said.length;
  assert.ok(asked >= 2, "both are asked in turn");
  other.leader = undefined;
  await other.idle(asked);
});

test("an agent whose leader dies renders on, and reports to the next one", async (t) => {
  const [one, other] = [await serverOf(t), await serverOf(t)];
  other.leader = one.address;
  const coordinator = `${one.address},${other.address}`;
  const flags = ["--checkpoint-seconds", "0"];
  await startWorkerProcess(t, { coordinator, stepMs: 20, flags });
  await one.idle();
  const lease = testLease({}, { steps: 100 });
  one.lease(lease);
  await one.reached(lease.attempt, 2);
  await one.stop();
  other.leader = undefined;
  const hello = await other.hello();
  assert.deepEqual(hello.held, [lease.attempt]);
  assert.equal(hello.checkpoints.length, 1);
  await other.completed(lease.attempt);
});

test("an agent leaves a leader that stands still for one that answers", async (t) => {
  const stopped = await leaderProcess(t);
  const other = await serverOf(t);
  other.leader = stopped.address;
  const coordinator = `${stopped.address},${other.address}`;
  const worker = await startWorkerProcess(t, { coordinator });
  await worker.http();
  await worker.logged("linked");
  stopped.child.kill("SIGSTOP");
  const beganMs = performance.now();
  other.leader = undefined;
  await other.idle();
  assert.ok(performance.now() - beganMs < leaveMsMax);
});

test("an agent that begins with a coordinator that stands still finds the other", async (t) => {
  const stopped = await leaderProcess(t);
  stopped.child.kill("SIGSTOP");
  const other = await serverOf(t);
  other.leader = stopped.address; // what a standby believes of a leader that has just stopped
  await startWorkerProcess(t, { coordinator: `${stopped.address},${other.address}` });
  await other.hello();
  other.leader = undefined;
  await other.idle();
});

test("a worker that slept past its lease stops what it must, and takes the next", async (t) => {
  const server = await serverOf(t);
  const worker = await startWorkerProcess(t, { coordinator: server.address, stepMs: 20 });
  await server.idle();
  const lease = testLease({}, { steps: 1000 });
  server.lease(lease);
  await server.reached(lease.attempt, 2);
  const all = [worker.pid, ...(await descendants(worker.pid))];
  for (const pid of all) process.kill(pid, "SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 2_500)); // a lease is 2 s here
  const said = server.said.length;
  for (const pid of all) process.kill(pid, "SIGCONT");
  await server.progress(({ attempts }) => attempts.length === 1, said);
  server.cancel(lease.attempt, "superseded");
  const failed = await server.failed(lease.attempt, said);
  assert.equal(failed.failure?.message, "the attempt was superseded");
  await server.idle(server.said.length - 1);
  const next = testLease();
  server.lease(next);
  await server.completed(next.attempt);
});
