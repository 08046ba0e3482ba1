// What happens to accepted work when processes die: the coordinator by kill -9, agents by hanging
// up, nats-server with its parent or by itself.

import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { farmWithAgent, newAgent, TestAgent } from "../support/coordinator-agent.js";
import {
  CoordinatorProcess,
  eventually,
  failingCoordinator,
  temporaryFolder,
} from "../support/coordinator-process.js";
import { roleOf } from "../support/failover-pool.js";

test("kill -9 of the coordinator in mid-batch loses nothing that was accepted", async (t) => {
  const data = temporaryFolder(t);
  const before = await CoordinatorProcess.start(t, data);
  const holder = new TestAgent(before.grpc, "w1");
  const silent = new TestAgent(before.grpc, "w2");
  await eventually(() => (holder.welcomed && silent.welcomed) || undefined);
  const batch = await before.submit(["one", "two", "three"], { idempotencyKey: "k" });
  const published = await holder.lease();
  holder.complete(published);
  const held = await holder.lease();
  const lost = await silent.lease();
  holder.progress([held.attempt], 2);
  await eventually(async () =>
    (await before.get(batch.id)).clips[1]?.state === "CLIP_STATE_RUNNING" ? true : undefined,
  );
  await before.kill();
  holder.close();
  silent.close();

  const after = await CoordinatorProcess.start(t, data);
  const answer = await after.get(batch.id);
  assert.deepEqual(
    answer.clips.map(({ state, attempt, prompt }) => [state, attempt, prompt]),
    [
      ["CLIP_STATE_PUBLISHED", 1, "one"],
      ["CLIP_STATE_RUNNING", 1, "two"],
      ["CLIP_STATE_LEASED", 1, "three"],
    ],
  );
  const back = new TestAgent(after.grpc, "w1", { held: [held.attempt] });
  t.after(() => back.close());
  back.progress([held.attempt], 5);
  back.complete(held);
  const again = await back.lease();
  assert.deepEqual(again.attempt, { ...lost.attempt, attempt: 2 });
  back.complete(again);
  const done = await eventually(async () => {
    const now = await after.get(batch.id);
    return now.batch?.state === "BATCH_STATE_SUCCEEDED" ? now : undefined;
  });
  assert.deepEqual(
    done.clips.map(({ attempt }) => attempt),
    [1, 1, 2],
  );
  const repeated = await after.submit(["one", "two", "three"], { idempotencyKey: "k" });
  assert.equal(repeated.id, batch.id);
});

test("an agent that comes back tells again what may not have been heard", async (t) => {
  const coordinator = await CoordinatorProcess.start(t, temporaryFolder(t));
  const agent = new TestAgent(coordinator.grpc, "w1");
  await eventually(() => agent.welcomed || undefined);
  const batch = await coordinator.submit(["one"]);
  const lease = await agent.lease();
  agent.close();
  const key = `${lease.artifactPrefix}clip.mp4`;
  const artifacts = [{ key, sha256: "0".repeat(64), sizeBytes: 1n }];
  const completed = [{ attempt: lease.attempt, artifacts, totals: undefined }];
  const back = new TestAgent(coordinator.grpc, "w1", { completed });
  t.after(() => back.close());
  const [clip] = await eventually(async () => {
    const { batch: now, clips } = await coordinator.get(batch.id);
    return now?.state === "BATCH_STATE_SUCCEEDED" ? clips : undefined;
  });
  assert.equal(clip?.attempt, 1);
});

test("an agent that hangs up loses its clip when the lease is over, and no sooner", async (t) => {
  const coordinator = await CoordinatorProcess.start(t, temporaryFolder(t));
  const gone = new TestAgent(coordinator.grpc, "w1");
  const other = new TestAgent(coordinator.grpc, "w2");
  t.after(() => other.close());
  await eventually(() => (gone.welcomed && other.welcomed) || undefined);
  await coordinator.submit(["one"]);
  await gone.lease();
  gone.close();
  const startedMs = performance.now();
  const lease = await other.lease();
  assert.equal(lease.attempt.attempt, 2);
  assert.ok(performance.now() - startedMs > 2_000);
});

test("a second agent of the same name replaces the first", async (t) => {
  const coordinator = await CoordinatorProcess.start(t, temporaryFolder(t));
  const first = new TestAgent(coordinator.grpc, "w1");
  await eventually(() => first.welcomed || undefined);
  const second = new TestAgent(coordinator.grpc, "w1");
  t.after(() => second.close());
  const end = await eventually(() => first.end);
  assert.equal(end.code, "ALREADY_EXISTS");
  assert.ok(second.welcomed);
});

test("an agent notices within seconds that its coordinator stands still", async (t) => {
  const coordinator = await CoordinatorProcess.start(t, temporaryFolder(t));
  const agent = new TestAgent(coordinator.grpc, "w1", {}, { silenceMsMax: 500 });
  t.after(() => agent.close());
  await eventually(() => agent.welcomed || undefined);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.equal(agent.end, undefined, "one that is only quiet answers pings");
  coordinator.child.kill("SIGSTOP");
  const end = await eventually(() => agent.end, 5_000);
  assert.equal(end.code, "UNAVAILABLE");
});

test("a coordinator that stood still for longer than a lease takes no clip away", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one"]);
  const lease = await agent.lease();
  agent.hold([lease.attempt], 1);
  coordinator.child.kill("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  coordinator.child.kill("SIGCONT");
  assert.match((await eventually(() => agent.end)).message, /stood still for [45]\.\d s/);
  await eventually(async () => (await roleOf(coordinator)) === "leader" || undefined);
  const back = await newAgent(t, coordinator, "w1", { held: [lease.attempt] });
  back.complete(lease);
  const { batch: ended, clips } = await eventually(async () => {
    const answer = await coordinator.get(batch.id);
    return answer.batch?.endedAt === undefined ? undefined : answer;
  });
  assert.deepEqual([ended?.clipsPublished, clips[0]?.attempt], [1, 1]);
});

test("uploads that a killed coordinator has left go when the next one starts", async (t) => {
  const data = temporaryFolder(t);
  const uploads = path.join(data, "uploads");
  mkdirSync(uploads);
  writeFileSync(path.join(uploads, "0123456789abcdef.part"), "x");
  await CoordinatorProcess.start(t, data);
  assert.equal(existsSync(uploads), false);
});

test("a clip waits while its prompt cannot be read, and fails when that is gone", async (t) => {
  const { data, coordinator, agent, client } = await farmWithAgent(t);
  const blobs = path.join(data, "artifacts", "blobs");
  const waiting = await coordinator.submit(["one"]);
  const [name = ""] = readdirSync(blobs);
  const text = readFileSync(path.join(blobs, name));
  rmSync(path.join(blobs, name));
  mkdirSync(path.join(blobs, name)); // what is a folder cannot be read
  agent.progress([], 0, ["cpu"]);
  const metrics = () => coordinator.metrics();
  const handedBack = /tocafarm_attempts_total\{outcome="lost",reason="handed_back"\} [1-9]/;
  await eventually(async () => handedBack.test(await metrics()) || undefined);
  assert.match(await metrics(), /tocafarm_attempts_total\{outcome="failed",reason="IO"\} 0/);
  rmdirSync(path.join(blobs, name));
  writeFileSync(path.join(blobs, name), text);
  const lease = await agent.lease();
  assert.equal(lease.batchId, waiting.id);
  assert.equal(lease.prompt, "one");
  agent.complete(lease);

  const lost = await coordinator.submit(["two"]);
  for (const blob of readdirSync(blobs)) rmSync(path.join(blobs, blob));
  agent.progress([], 0, ["cpu"]);
  const ended = await eventually(async () => {
    const [newest] = await client.list(1); // show would need the prompts
    return newest?.state === "BATCH_STATE_FAILED" ? newest : undefined;
  });
  assert.deepEqual([ended.id, ended.clipsFailed], [lost.id, 1]);
});

test("when its nats-server dies, the coordinator stops instead of guessing", async (t) => {
  const data = temporaryFolder(t);
  const coordinator = await CoordinatorProcess.start(t, data, ["--log-level", "silent"]);
  const [pid] = natsServersOf(coordinator.child.pid ?? 0);
  assert.ok(pid !== undefined);
  const exit = new Promise((resolve) => coordinator.child.once("exit", resolve));
  process.kill(pid, "SIGKILL");
  assert.equal(await exit, 6);
  assert.ok(!existsSync(path.join(data, "coordinator.json")));
});

test("no process is left behind within two seconds of kill -9", async (t) => {
  const coordinator = await CoordinatorProcess.start(t, temporaryFolder(t));
  const pids = natsServersOf(coordinator.child.pid ?? 0);
  assert.equal(pids.length, 1);
  await coordinator.kill();
  await eventually(() => (pids.some(isAlive) ? undefined : true), 2_000);
});

test("a clean stop exits with 0 and takes the coordinator's file away", async (t) => {
  const data = temporaryFolder(t);
  const coordinator = await CoordinatorProcess.start(t, data);
  const file = path.join(data, "coordinator.json");
  assert.equal(JSON.parse(readFileSync(file, "utf8")).grpc, coordinator.grpc);
  const agent = new TestAgent(coordinator.grpc, "w1");
  await eventually(() => agent.welcomed || undefined);
  assert.equal(await coordinator.stop(), 0);
  assert.equal((await eventually(() => agent.end)).code, "UNAVAILABLE");
  assert.ok(!existsSync(file));
});

test("a port or a folder in use is one line with the remedy", async (t) => {
  const data = temporaryFolder(t);
  const first = await CoordinatorProcess.start(t, data);
  const other = temporaryFolder(t);
  const port = await failingCoordinator(t, ["--data", other, "--listen", first.grpc]);
  assert.equal(port.code, 4);
  assert.match(
    port.stderr,
    /^tocafarm: FAILED_PRECONDITION: cannot listen on .*: the port is in use.*\n$/,
  );
  const http = await failingCoordinator(t, ["--data", other, "--http", first.http]);
  assert.match(
    http.stderr,
    /^tocafarm: FAILED_PRECONDITION: cannot listen on .*: the port is in use.*\n$/,
  );
  const folder = await failingCoordinator(t, ["--data", data]);
  assert.match(folder.stderr, /^tocafarm: FAILED_PRECONDITION: the folder .* is in use.*\n$/);
  const flag = await failingCoordinator(t, ["--data", other, "--lissten", "x"]);
  assert.equal(flag.code, 2);
  assert.match(
    flag.stderr,
    /^tocafarm: INVALID_ARGUMENT: unknown flag --lissten; did you mean --listen\?\n$/,
  );
  const nats = await failingCoordinator(t, ["--data", other, "--nats", "nats://127.0.0.1:1"]);
  assert.equal(nats.code, 6);
  assert.match(nats.stderr, /^tocafarm: UNAVAILABLE: no NATS server answers at 127.0.0.1:1.*\n$/);
});

function natsServersOf(parent: number): number[] {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8");
  return children.trim().split(/\s+/).filter(Boolean).map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
