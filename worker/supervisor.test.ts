// The supervisor over an engine process that the test plays, on mocked timers.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { silentLog } from "../common/log.js";
import { openedMessage, PlayedEngine, playedModel } from "../test/support/worker-engine-child.js";
import type { RenderJob, RenderOutput } from "./engine-messages.js";
import { type DeviceStatus, type RestartReason, Supervisor } from "./supervisor.js";

const job = { prompt: "p" } as RenderJob; // the supervisor only hands it on
const output = { media: "video.mp4" } as RenderOutput;

/** A supervisor, its played engine process, and what it told. */
class Stage {
  readonly engine = new PlayedEngine();
  readonly statuses: DeviceStatus[] = [];
  readonly restarts: RestartReason[] = [];
  readonly supervisor: Supervisor;
  readonly #t: TestContext;

  constructor(t: TestContext) {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    this.#t = t;
    this.supervisor = new Supervisor({
      settings: { device: "cpu", dtype: "fp32", threads: 0, cache: null },
      model: playedModel,
      random: () => 0.999,
      log: silentLog,
      startChild: this.engine.start,
      onChange: () => this.statuses.push(this.supervisor.status),
      onEvent: () => {},
      onRestart: (reason) => this.restarts.push(reason),
    });
  }

  fails(code: "IO" | "DEVICE_LOST" | "INVALID_CHECKPOINT", engineUsable: boolean): void {
    this.engine.says({ type: "failed", code, message: "why", engineUsable });
  }

  passes(ms: number): void {
    this.#t.mock.timers.tick(ms);
  }

  ready(): Stage {
    this.supervisor.start();
    this.engine.says(openedMessage);
    return this;
  }
}

test("a device is ready once its engine has opened, and takes one clip at a time", async (t) => {
  const stage = new Stage(t);
  stage.supervisor.start();
  assert.equal(stage.supervisor.status, "starting");
  assert.ok(!stage.supervisor.idle);
  stage.engine.says(openedMessage);
  assert.ok(stage.supervisor.idle);
  const rendered = stage.supervisor.render(job);
  assert.ok(!stage.supervisor.idle);
  await assert.rejects(stage.supervisor.render(job), { code: "UNAVAILABLE" });
  stage.engine.says({ type: "done", output });
  assert.equal(await rendered, output);
  assert.ok(stage.supervisor.idle);
  assert.deepEqual(
    stage.engine.sent.map(({ type }) => type),
    ["open", "render"],
  );
});

test("an error of a clip leaves the engine in place", async (t) => {
  const stage = new Stage(t).ready();
  const rendered = stage.supervisor.render(job);
  stage.fails("IO", true);
  await assert.rejects(rendered, { code: "IO", message: "why" });
  assert.ok(stage.supervisor.idle);
  assert.equal(stage.engine.starts, 1);
});

test("a crash rejects the clip when the device is no longer ready", async (t) => {
  const stage = new Stage(t).ready();
  const statusAtEnd = stage.supervisor.render(job).catch(() => stage.statuses.at(-1));
  stage.engine.dies();
  assert.equal(await statusAtEnd, "starting");
  assert.deepEqual(stage.restarts, ["crash"]);
  stage.passes(250);
  assert.equal(stage.engine.starts, 2);
  stage.engine.says(openedMessage);
  assert.ok(stage.supervisor.idle);
});

test("crashes without a clip between them wait ever longer, to a bound", (t) => {
  const stage = new Stage(t).ready();
  const waits: number[] = [];
  for (let crash = 1; crash <= 10; crash += 1) {
    const before = stage.engine.starts;
    stage.engine.dies();
    let waitedMs = 0;
    for (; stage.engine.starts === before; waitedMs += 100) stage.passes(100);
    waits.push(waitedMs);
    stage.engine.says(openedMessage);
  }
  assert.deepEqual(waits.slice(0, 5), [200, 400, 800, 1600, 3200]);
  assert.equal(waits.at(-1), 30_000);
});

test("a clip that is done makes the next restart quick again", async (t) => {
  const stage = new Stage(t).ready();
  for (let crash = 0; crash < 5; crash += 1) {
    stage.engine.dies();
    stage.passes(30_000);
    stage.engine.says(openedMessage);
  }
  const rendered = stage.supervisor.render(job);
  stage.engine.says({ type: "done", output });
  await rendered;
  stage.engine.dies();
  stage.passes(200);
  assert.equal(stage.engine.starts, 7);
});

test("a lost device is reported with its own code only when its process is gone", async (t) => {
  const stage = new Stage(t).ready();
  let settled = false;
  const rendered = stage.supervisor.render(job).finally(() => {
    settled = true;
  });
  const rejected = assert.rejects(rendered, { code: "DEVICE_LOST" });
  stage.fails("DEVICE_LOST", false);
  await Promise.resolve();
  assert.ok(!settled && !stage.supervisor.idle);
  stage.passes(5_000);
  assert.equal(stage.engine.kills, 1, "a process that does not exit is killed");
  stage.engine.dies();
  await rejected;
  assert.deepEqual(stage.restarts, ["device_lost"]);
});

test("a cancelled clip ends with CANCELLED, by the engine or by force after 5 s", async (t) => {
  const stage = new Stage(t).ready();
  const rendered = stage.supervisor.render(job);
  stage.supervisor.cancel();
  stage.supervisor.cancel();
  assert.equal(stage.engine.sent.filter(({ type }) => type === "cancel").length, 1);
  stage.passes(4_999);
  assert.equal(stage.engine.kills, 0);
  stage.passes(1);
  assert.equal(stage.engine.kills, 1);
  stage.engine.dies();
  await assert.rejects(rendered, { code: "CANCELLED" });
  assert.deepEqual(stage.restarts, ["cancel_timeout"]);
});

test("a cancel without a clip does nothing", (t) => {
  const stage = new Stage(t).ready();
  stage.supervisor.cancel();
  stage.passes(60_000);
  assert.equal(stage.engine.kills, 0);
  assert.ok(stage.supervisor.idle);
});

test("a model that can never be loaded makes the device failed, for good", (t) => {
  const stage = new Stage(t);
  stage.supervisor.start();
  stage.fails("INVALID_CHECKPOINT", false);
  stage.engine.dies("exit code 4");
  assert.equal(stage.supervisor.status, "failed");
  assert.equal(stage.supervisor.failure?.code, "INVALID_CHECKPOINT");
  stage.passes(600_000);
  assert.equal(stage.engine.starts, 1);
});

test("three starts that fail make the device failed, until one succeeds", (t) => {
  const stage = new Stage(t);
  stage.supervisor.start();
  for (let start = 1; start <= 3; start += 1) {
    assert.equal(stage.supervisor.status, "starting");
    stage.engine.dies("exit code 1");
    stage.passes(1_000);
  }
  assert.equal(stage.supervisor.status, "failed");
  assert.equal(stage.supervisor.failure?.code, "ENGINE_CRASH");
  assert.equal(stage.engine.starts, 4);
  stage.engine.says(openedMessage);
  assert.equal(stage.supervisor.status, "ready");
  assert.equal(stage.supervisor.failure, undefined);
  assert.deepEqual(stage.restarts, ["open_failed", "open_failed", "open_failed"]);
});

test("a stopped supervisor starts nothing again", async (t) => {
  const stage = new Stage(t).ready();
  const rendered = assert.rejects(stage.supervisor.render(job), { code: "ENGINE_CRASH" });
  const stopped = stage.supervisor.stop();
  assert.equal(stage.engine.kills, 1);
  stage.engine.dies();
  await Promise.all([stopped, rendered]);
  stage.passes(60_000);
  assert.equal(stage.engine.starts, 1);
  assert.ok(!stage.supervisor.idle);
});
