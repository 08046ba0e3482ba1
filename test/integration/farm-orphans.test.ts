// kill -9 of any process of a farm leaves none of its children, whatever they were doing: the
// command, a worker in mid-clip, with nats-server, engines and FFmpeg below them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../common/paths.js";
import { demoPrompts, ended, reachesStep, submit } from "../support/farm-batches.js";
import { clientOf, demoModel, FarmSandbox, idleWorkers } from "../support/farm-processes.js";
import { descendants, eventually, isAlive } from "../support/worker-process.js";

const goneMsMax = 2_000;
const large = ["--steps", "1", "--image-size", "256x256", "--frames", "204"];

test("kill -9 of `render` while FFmpeg takes its frames leaves nothing running", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const args = ["--model", demoModel, ...large, "--prompt", demoPrompts[0] ?? ""];
  const threads = ["--workers", "2", "--threads", "1"];
  const render = sandbox.start("render", ...args, ...threads, "--output", sandbox.path("out"));
  // The command, a coordinator, its nats-server, two workers, two engines, and FFmpeg.
  const all = () => sandbox.processes().length === 8;
  await eventually(all, { limitMs: 30_000, what: "eight processes run" });
  render.child.kill("SIGKILL");
  await sandbox.allGone(goneMsMax);
});

test("kill -9 of `up` with a clip at work leaves nothing running, and loses nothing", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const farm = sandbox.start("up", "--model", demoModel, "--workers", "2");
  await farm.shows("Ctrl-C stops the farm");
  const small = ["--model", demoModel, "--image-size", "64x64", "--frames", "17"];
  const long = ["--steps", "300", "--prompt", demoPrompts[0] ?? ""];
  const submitted = await sandbox.run("submit", ...small, ...long);
  assert.equal(submitted.status, 0, submitted.stderr);
  farm.child.kill("SIGKILL");
  await sandbox.allGone(goneMsMax);

  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  await sandbox.worker(coordinator, "w9");
  const { batch } = await ended(client, submitted.stdout.trim());
  assert.equal(batch.state, "BATCH_STATE_SUCCEEDED");
});

test("kill -9 of a worker or of a coordinator takes only what was below it", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  const worker = await sandbox.worker(coordinator, "w1");
  await idleWorkers(client, "w1");
  const batch = await submit(client, demoPrompts.slice(0, 1), { steps: 1_000 });
  await reachesStep(client, { batch, step: 1 });
  for (const parent of [worker, coordinator]) {
    const below = await descendants(parent.pid);
    assert.ok(below.length > 0);
    await parent.kill();
    const gone = async () => !(await Promise.all(below.map(isAlive))).includes(true);
    await eventually(gone, { limitMs: goneMsMax, what: `${below.join(" ")} are gone` });
    if (parent === worker) assert.ok(await isAlive(coordinator.pid));
  }
  assert.deepEqual(sandbox.processes(), []);
});

// Forks the program of its second argument, and is gone so many milliseconds later.
const shortLivedParent = `
  const [ms, program, ...flags] = process.argv.slice(1);
  const stdio = ["ignore", "ignore", "ignore", "ipc"];
  require("node:child_process").fork(program, flags, { detached: true, stdio });
  setTimeout(() => process.kill(process.pid, "SIGKILL"), Number(ms));`;

test("a process whose parent dies while it starts does not stay either", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const folders = { TOCAFARM_DATA: sandbox.dataFolder, TOCAFARM_CACHE: sandbox.path("cache") };
  const env = { ...process.env, ...folders };
  const nobody = ["--coordinator", "127.0.0.1:9", "--model", demoModel, "--threads", "1"];
  for (const [main, ...flags] of [["coordinator/main.js"], ["worker/main.js", ...nobody]]) {
    for (const ms of [0, 50, 100, 150, 200]) {
      const folder = sandbox.path(`${path.dirname(main ?? "")}-${ms}`);
      const program = path.join(packageRoot(), "dist", main ?? "");
      const args = ["-e", shortLivedParent, `${ms}`, program, "--data", folder, ...flags];
      spawn(process.execPath, [...args, "--log-level", "silent"], { env, stdio: "ignore" });
    }
    const started = () => existsSync(sandbox.path(`${path.dirname(main ?? "")}-200`));
    await eventually(started, { limitMs: 20_000, what: "the last one has begun to start" });
    await sandbox.allGone(5_000); // ten at once are slow to start, and then to stop
  }
});
