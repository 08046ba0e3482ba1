// What a worker does when something dies, hangs or goes away: real processes are killed, a
// connection is cut by a proxy, and every process is counted afterwards.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { type TestLease, testLease, WorkerLinkServer } from "../support/worker-link-server.js";
import {
  descendants,
  eventually,
  isAlive,
  startWorkerProcess,
  type WorkerProcess,
} from "../support/worker-process.js";

const coordinator = new WorkerLinkServer();
before(() => coordinator.start());
after(() => coordinator.stop());

async function busyWorker(
  t: TestContext,
  { lease, flags = [], steps = 60 }: { lease: TestLease; flags?: string[]; steps?: number },
): Promise<WorkerProcess> {
  const said = coordinator.said.length;
  const worker = await startWorkerProcess(t, {
    coordinator: coordinator.address,
    stepMs: 20,
    flags,
  });
  await coordinator.idle(said);
  assert.ok(lease.spec);
  coordinator.lease({ ...lease, spec: { ...lease.spec, steps } });
  await coordinator.reached(lease.attempt, 2);
  return worker;
}

/** The engine process of a worker with one device. */
async function engineOf(worker: WorkerProcess): Promise<number> {
  const [engine] = await descendants(worker.pid);
  assert.ok(engine !== undefined);
  return engine;
}

test("kill -9 of the engine fails the attempt, and the next one has the same bytes", async (t) => {
  const lease = testLease();
  const worker = await busyWorker(t, { lease, steps: 30 });
  const said = coordinator.said.length;
  process.kill(await engineOf(worker), "SIGKILL");
  const failed = await coordinator.failed(lease.attempt, said);
  assert.equal(failed.failure?.code, "ENGINE_CRASH");
  assert.match(failed.failure?.message ?? "", /engine process on cpu died: killed by SIGKILL/);
  assert.ok(failed.childDead);
  await coordinator.idle(coordinator.said.length); // before, it asked for one ahead

  assert.ok(lease.spec);
  const spec = { ...lease.spec, steps: 30 };
  const [second, whole] = [testLease({ again: lease, attempt: 2 }, spec), testLease({}, spec)];
  coordinator.lease(second);
  const retried = await coordinator.completed(second.attempt);
  await coordinator.idle(coordinator.said.length - 1);
  coordinator.lease(whole);
  const undisturbed = await coordinator.completed(whole.attempt);
  assert.equal(retried.artifacts[0]?.sha256, undisturbed.artifacts[0]?.sha256);
  const states = coordinator.said.slice(said).flatMap((message) => {
    return message.$case === "deviceChanged" ? [message.value.device?.state] : [];
  });
  assert.deepEqual(states, ["DEVICE_STATE_STARTING", "DEVICE_STATE_READY"]);
  const metrics = await (await fetch(`http://${await worker.http()}/metrics`)).text();
  assert.ok(metrics.includes('tocafarm_engine_restarts_total{device="cpu",reason="crash"} 1\n'));
});

test("a lost device is said by its name, and its engine process is replaced", async (t) => {
  const said = coordinator.said.length;
  const worker = await startWorkerProcess(t, { coordinator: coordinator.address });
  await coordinator.idle(said);
  const engine = await engineOf(worker);
  const lease = testLease({ prompt: "losedevice" });
  coordinator.lease(lease);
  const failed = await coordinator.failed(lease.attempt);
  assert.equal(failed.failure?.code, "DEVICE_LOST");
  await coordinator.idle(coordinator.said.length);
  assert.notEqual(await engineOf(worker), engine);
});

test("cancel stops the engine, keeps its process and leaves nothing behind", async (t) => {
  const lease = testLease();
  const worker = await busyWorker(t, { lease, steps: 1000 });
  const engine = await engineOf(worker);
  const beganMs = performance.now();
  coordinator.cancel(lease.attempt);
  const failed = await coordinator.failed(lease.attempt);
  assert.equal(failed.failure?.code, "CANCELLED");
  assert.ok(performance.now() - beganMs < 1000);
  assert.equal(await engineOf(worker), engine);
  assert.ok(!existsSync(join(worker.artifactsFolder, "clips", lease.clipId)));
});

test("an engine that does not stop when it is told to is killed after 5 s", async (t) => {
  const lease = testLease({ prompt: "deaf" });
  const worker = await busyWorker(t, { lease, steps: 1000 });
  const engine = await engineOf(worker);
  const beganMs = performance.now();
  coordinator.cancel(lease.attempt);
  const failed = await coordinator.failed(lease.attempt);
  assert.equal(failed.failure?.code, "CANCELLED");
  assert.ok(failed.childDead);
  assert.ok(performance.now() - beganMs > 4_900);
  assert.ok(!(await isAlive(engine)));
});

test("kill -9 of the agent leaves no process behind", async (t) => {
  const lease = testLease();
  const worker = await busyWorker(t, { lease, steps: 1000 });
  const started = await descendants(worker.pid);
  assert.ok(started.length >= 1);
  worker.child.kill("SIGKILL");
  await allGone(started);
});

test("kill -9 of the agent ends an engine process that is stopped, too", async (t) => {
  const lease = testLease();
  const worker = await busyWorker(t, { lease, steps: 1000 });
  const started = await descendants(worker.pid);
  process.kill(await engineOf(worker), "SIGSTOP");
  worker.child.kill("SIGKILL");
  await allGone(started);
});

test("kill -9 of the agent or the engine takes FFmpeg with it", async (t) => {
  for (const victim of ["agent", "engine"] as const) {
    const lease = testLease({}, { frames: 170, height: 1024, width: 1024, steps: 2 });
    const said = coordinator.said.length;
    const worker = await startWorkerProcess(t, { coordinator: coordinator.address });
    await coordinator.idle(said);
    coordinator.lease(lease);
    const both = async () => (await descendants(worker.pid)).length === 2;
    await eventually(both, { limitMs: 10_000, what: "FFmpeg runs" });
    const started = await descendants(worker.pid);
    process.kill(victim === "agent" ? worker.pid : await engineOf(worker), "SIGKILL");
    await allGone(started);
    worker.child.kill("SIGKILL");
    await worker.ended();
  }
});

test("kill -9 of the process that forked a worker leaves no process behind", async (t) => {
  const said = coordinator.said.length;
  const worker = await startWorkerProcess(t, {
    coordinator: coordinator.address,
    stepMs: 20,
    forked: true,
  });
  await coordinator.idle(said);
  const lease = testLease({}, { steps: 1000 });
  coordinator.lease(lease);
  await coordinator.reached(lease.attempt, 2);
  const started = await descendants(worker.pid);
  assert.equal(started.length, 2);
  worker.child.kill("SIGKILL");
  await allGone(started);
});

test("SIGTERM lets a clip end that ends within the grace", async (t) => {
  const lease = testLease();
  const worker = await busyWorker(t, { lease, steps: 50, flags: ["--grace-seconds", "20"] });
  worker.child.kill("SIGTERM");
  await coordinator.completed(lease.attempt);
  assert.equal(await worker.ended(), 0);
});

test("SIGTERM hands back what does not end within the grace", async (t) => {
  const lease = testLease();
  const worker = await busyWorker(t, { lease, steps: 1000, flags: ["--grace-seconds", "0"] });
  const started = await descendants(worker.pid);
  worker.child.kill("SIGTERM");
  const failed = await coordinator.failed(lease.attempt);
  assert.deepEqual(failed.failure, { code: "INTERRUPTED", message: "drained" });
  assert.equal(await worker.ended(), 0);
  await allGone(started);
});

test("a worker that is cut off renders on and reports when the coordinator is back", async (t) => {
  const proxy = new TcpProxy();
  await proxy.start(coordinator.address);
  t.after(() => proxy.stop());
  let said = coordinator.said.length;
  const worker = await startWorkerProcess(t, { coordinator: proxy.address, stepMs: 20 });
  await coordinator.idle(said);
  const [short, long] = [testLease({}, { steps: 20 }), testLease({}, { steps: 150 })];
  coordinator.lease(short);
  await coordinator.reached(short.attempt, 2);
  proxy.blackHole();
  const last = join(worker.artifactsFolder, short.artifactPrefix, "profile.json");
  await eventually(() => existsSync(last), {
    limitMs: 10_000,
    what: "the clip is in the store though nobody hears of it",
  });
  proxy.cut();
  await new Promise((resolve) => setTimeout(resolve, 300));
  said = coordinator.said.length;
  proxy.forward();
  const hello = await coordinator.hello(said);
  assert.deepEqual(
    hello.completed.map(({ attempt }) => attempt),
    [short.attempt],
  );
  assert.deepEqual(hello.held, []);

  await coordinator.idle(said);
  coordinator.lease(long);
  await coordinator.reached(long.attempt, 2);
  said = coordinator.said.length;
  proxy.cut();
  proxy.forward();
  assert.deepEqual((await coordinator.hello(said)).held, [long.attempt]);
  await coordinator.completed(long.attempt, said);
});

test("a worker waits for a coordinator that is not there yet", async (t) => {
  const late = new WorkerLinkServer();
  await late.start();
  const { address } = late;
  await late.stop();
  await startWorkerProcess(t, { coordinator: address });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await late.start(address);
  t.after(() => late.stop());
  await late.idle();
});

async function allGone(pids: readonly number[]): Promise<void> {
  const gone = async () => (await Promise.all(pids.map(isAlive))).every((alive) => !alive);
  await eventually(gone, { limitMs: 2_000, what: `the processes ${pids.join(", ")} are gone` });
}

/** A TCP proxy that can hold everything back, or cut all connections and refuse new ones. */
class TcpProxy {
  readonly #server: Server = createServer((near) => this.#accept(near));
  readonly #sockets = new Set<Socket>();
  #target = { host: "", port: 0 };
  #open = true;

  async start(target: string): Promise<void> {
    const [host = "", port] = target.split(":");
    this.#target = { host, port: Number(port) };
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get address(): string {
    const address = this.#server.address();
    assert.ok(address !== null && typeof address === "object");
    return `127.0.0.1:${address.port}`;
  }

  /** Connections stay open, and nothing passes. */
  blackHole(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  cut(): void {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  forward(): void {
    this.#open = true;
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }

  #accept(near: Socket): void {
    if (!this.#open) {
      near.destroy();
      return;
    }
    const far = connect(this.#target);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on("data", (bytes) => to.write(bytes));
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
