// The supervisor over an engine process that the test plays, on mocked timers.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { silentLog } from "../common/log.js";
import { openedMessage, PlayedEngine, playedModel } from "../test/support/worker-engine-child.js";
import type { RenderJob, RenderOutput } from "./engine-messages.js";
import {
  type DeviceStatus,
  type RestartReason,
  type SupervisedRender,
  Supervisor,
} from "./supervisor.js";

const job = { prompt: "p" } as RenderJob; // the supervisor only hands it on
const output = { media: "video.mp4" } as RenderOutput;
const denoised = { type: "stage_ended", stage: "denoise", seconds: 1 } as const;

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
      onRestart: (reason) => this.restarts.push(reason),
    });
  }

  /** Begins a clip. */
  render(): SupervisedRender {
    return this.supervisor.render(job, () => {});
  }

  /** The clip with that number, from 1, fails; the newest one by default. */
  fails(code: "IO" | "DEVICE_LOST" | "INTERNAL", engineUsable: boolean, clip?: number): void {
    this.engine.tells({ type: "failed", code, message: "why", engineUsable }, clip);
  }

  /** Begins two clips, the first of which is being finished. */
  renderTwo(): readonly [SupervisedRender, SupervisedRender] {
    const first = this.render();
    this.engine.tells(denoised);
    return [first, this.render()];
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
  const rendered = stage.render().output;
  assert.ok(!stage.supervisor.idle);
  await assert.rejects(stage.render().output, { code: "UNAVAILABLE" });
  stage.engine.tells({ type: "done", output });
  assert.equal(await rendered, output);
  assert.ok(stage.supervisor.idle);
  assert.deepEqual(
    stage.engine.sent.map(({ type }) => type),
    ["open", "render"],
  );
});

test("an error of a clip leaves the engine in place", async (t) => {
  const stage = new Stage(t).ready();
  const rendered = stage.render().output;
  stage.fails("IO", true);
  await assert.rejects(rendered, { code: "IO", message: "why" });
  assert.ok(stage.supervisor.idle);
  assert.equal(stage.engine.starts, 1);
});

test("a crash rejects the clip when the device is no longer ready", async (t) => {
  const stage = new Stage(t).ready();
  const statusAtEnd = stage.render().output.catch(() => stage.statuses.at(-1));
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
  const rendered = stage.render().output;
  stage.engine.tells({ type: "done", output });
  await rendered;
  stage.engine.dies();
  stage.passes(200);
  assert.equal(stage.engine.starts, 7);
});

test("a lost device is reported with its own code only when its process is gone", async (t) => {
  const stage = new Stage(t).ready();
  let settled = false;
  const rendered = stage.render().output.finally(() => {
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
  const { output: rendered, cancel } = stage.render();
  cancel();
  cancel();
  assert.equal(stage.engine.sent.filter(({ type }) => type === "cancel").length, 1);
  stage.passes(4_999);
  assert.equal(stage.engine.kills, 0);
  stage.passes(1);
  assert.equal(stage.engine.kills, 1);
  stage.engine.dies();
  await assert.rejects(rendered, { code: "CANCELLED" });
  assert.deepEqual(stage.restarts, ["cancel_timeout"]);
});

test("a cancel of a clip that has ended does nothing", async (t) => {
  const stage = new Stage(t).ready();
  const { output: rendered, cancel, cut } = stage.render();
  stage.engine.tells({ type: "done", output });
  await rendered;
  cancel();
  cut();
  stage.passes(60_000);
  assert.equal(stage.engine.kills, 0);
  assert.equal(stage.engine.sent.length, 2);
  assert.ok(stage.supervisor.idle);
});

test("a clip may be begun when the one before is denoised, and no third one", async (t) => {
  const stage = new Stage(t).ready();
  const [first, second] = stage.renderTwo();
  stage.engine.tells(denoised);
  assert.ok(!stage.supervisor.idle);
  await assert.rejects(stage.render().output, { code: "UNAVAILABLE" });
  stage.engine.tells({ type: "done", output }, 1);
  assert.equal(await first.output, output);
  assert.ok(stage.supervisor.idle);
  stage.fails("IO", true, 2);
  await assert.rejects(second.output, { code: "IO" });
});

test("each of two clips is stopped by itself", async (t) => {
  const stage = new Stage(t).ready();
  const [first, second] = stage.renderTwo();
  second.cancel();
  first.cut();
  assert.deepEqual(stage.engine.sent.slice(-2), [
    { type: "cancel", clip: 2 },
    { type: "cut", clip: 1 },
  ]);
  stage.engine.tells({ type: "failed", code: "CANCELLED", message: "why", engineUsable: true }, 2);
  await assert.rejects(second.output, { code: "CANCELLED" });
  stage.passes(60_000);
  assert.equal(stage.engine.kills, 0, "it had stopped in time");
  stage.engine.tells({ type: "done", output }, 1);
  assert.equal(await first.output, output);
});

const ends = [
  { how: "a crash", act: (stage: Stage) => stage.engine.dies(), other: "ENGINE_CRASH" },
  { how: "a lost device", act: lose("DEVICE_LOST"), other: "DEVICE_LOST" },
  { how: "an assertion", act: lose("INTERNAL"), other: "INTERRUPTED" },
] as const;

function lose(code: "DEVICE_LOST" | "INTERNAL"): (stage: Stage) => void {
  return (stage) => {
    stage.fails(code, false, 2);
    stage.engine.dies("exit code 1");
  };
}

for (const { how, act, other } of ends) {
  test(`two clips and ${how}: the other one fails with ${other}`, async (t) => {
    const stage = new Stage(t).ready();
    const [first, second] = stage.renderTwo();
    const own = how === "a crash" ? "ENGINE_CRASH" : how === "an assertion" ? "INTERNAL" : other;
    const rejected = [
      assert.rejects(first.output, { code: other }),
      assert.rejects(second.output, { code: own }),
    ];
    act(stage);
    await Promise.all(rejected);
  });
}

test("a clip that has to be stopped by force interrupts the one beside it", async (t) => {
  const stage = new Stage(t).ready();
  const [first, second] = stage.renderTwo();
  const rejected = assert.rejects(first.output, { code: "INTERRUPTED", message: /another clip/ });
  second.cancel();
  stage.passes(5_000);
  assert.equal(stage.engine.kills, 1);
  stage.engine.dies();
  await assert.rejects(second.output, { code: "CANCELLED" });
  await rejected;
});

test("a model that can never be loaded makes the device failed, for good", (t) => {
  const stage = new Stage(t);
  stage.supervisor.start();
  const damaged = { code: "INVALID_CHECKPOINT", message: "why" } as const;
  stage.engine.says({ type: "failed", ...damaged, engineUsable: false });
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
  const rendered = assert.rejects(stage.render().output, { code: "ENGINE_CRASH" });
  const stopped = stage.supervisor.stop();
  assert.equal(stage.engine.kills, 1);
  stage.engine.dies();
  await Promise.all([stopped, rendered]);
  stage.passes(60_000);
  assert.equal(stage.engine.starts, 1);
  assert.ok(!stage.supervisor.idle);
});
