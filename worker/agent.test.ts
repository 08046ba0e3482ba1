// The agent between a link and an engine process that the test plays: what it says, and what it
// says again.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openFolderStore } from "../artifacts/folder.js";
import { silentLog } from "../common/log.js";
import type { ConnectRequest } from "../proto/gen/tocafarm/v1/worker.js";
import { openedMessage, PlayedEngine, playedModel } from "../test/support/worker-engine-child.js";
import { testLease } from "../test/support/worker-link-server.js";
import { eventually } from "../test/support/worker-process.js";
import { Agent } from "./agent.js";
import type { RenderJob } from "./engine-messages.js";
import { WorkerMetrics } from "./metrics.js";
import { Supervisor } from "./supervisor.js";

type Said = NonNullable<ConnectRequest["message"]>;

const first = testLease();
const second = testLease({ again: first, attempt: 2 });

/** An agent with one ready device, whose engine process is played. */
class Stage {
  readonly said: Said[] = [];
  readonly engine = new PlayedEngine();

  async start(t: TestContext): Promise<Agent> {
    const folder = await mkdtemp(join(tmpdir(), "tocafarm-agent-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const agent = new Agent({
      workerId: "w",
      version: "1",
      models: new Map([[playedModel.name, playedModel]]),
      modelMessages: [],
      store: await openFolderStore(join(folder, "artifacts")),
      metrics: new WorkerMetrics(),
      log: silentLog,
      folder: join(folder, "attempts"),
    });
    const supervisor = new Supervisor({
      settings: { device: "cpu", dtype: "fp32", threads: 0 },
      model: playedModel,
      random: () => 0,
      log: silentLog,
      startChild: this.engine.start,
      onChange: () => agent.onDeviceChange("cpu"),
      onEvent: (event) => agent.onEngineEvent("cpu", event),
      onRestart: () => {},
    });
    agent.addDevice(supervisor);
    agent.attach({
      send: (message) => this.said.push(message),
      progressNow: () => {},
      progressSoon: () => {},
    });
    supervisor.start();
    this.engine.says(openedMessage);
    return agent;
  }

  /** Waits for the job with that number, from 1. */
  async job(number: number): Promise<RenderJob> {
    const what = `job ${number} reaches the engine process`;
    await eventually(() => this.engine.jobs.length >= number, { limitMs: 5_000, what });
    const job = this.engine.jobs[number - 1];
    assert.ok(job);
    return job;
  }

  /** Plays an engine that has rendered the job, and waits for the report. */
  async finish(job: RenderJob): Promise<void> {
    await writeFile(join(job.folder, "video.mp4"), "frames");
    const rest = { cleanedPrompt: "p", planDigest: "d", weightsDigest: "w", kind: "k" };
    const size = { frames: 17, height: 64, width: 64 };
    const output = { media: "video.mp4", others: [], ...size, ...rest };
    const before = this.said.length;
    this.engine.says({ type: "done", output });
    await this.report(before);
  }

  async report(before: number): Promise<void> {
    await eventually(() => this.said.length > before, { limitMs: 5_000, what: "a report" });
  }
}

test("a lease that is said twice is rendered once", async (t) => {
  const stage = new Stage();
  const agent = await stage.start(t);
  agent.onLease(first);
  agent.onLease(first);
  await stage.finish(await stage.job(1));
  assert.equal(stage.engine.jobs.length, 1);
  assert.deepEqual(
    stage.said.map(({ $case }) => $case),
    ["deviceChanged", "completed"],
  );
});

test("a device that has a clip refuses another one, and goes on", async (t) => {
  const stage = new Stage();
  const agent = await stage.start(t);
  agent.onLease(first);
  assert.deepEqual(agent.progress().idleDevices, []);
  agent.onLease(second);
  const refused = stage.said.at(-1);
  assert.ok(refused?.$case === "failed");
  assert.equal(refused.value.failure?.code, "UNAVAILABLE");
  assert.equal(refused.value.attempt?.attempt, 2);
  await stage.finish(await stage.job(1));
  assert.deepEqual(agent.progress().idleDevices, ["cpu"]);
});

test("Hello repeats the last report of a device until another lease proves it heard", async (t) => {
  const stage = new Stage();
  const agent = await stage.start(t);
  agent.onLease(first);
  const job = await stage.job(1);
  assert.deepEqual(agent.hello().held, [first.attempt]);
  await stage.finish(job);
  const attempts = () => agent.hello().completed.map(({ attempt }) => attempt?.attempt);
  assert.deepEqual(agent.hello().held, []);
  assert.deepEqual(attempts(), [1]);
  assert.deepEqual(attempts(), [1]);
  agent.onLease(second);
  await stage.job(2);
  assert.deepEqual(attempts(), []);
  const before = stage.said.length;
  stage.engine.says({ type: "failed", code: "IO", message: "disk", engineUsable: true });
  await stage.report(before);
  assert.deepEqual(agent.hello().failed[0]?.failure, { code: "IO", message: "disk" });
});

test("progress tells stage, steps and totals of the attempt", async (t) => {
  const stage = new Stage();
  const agent = await stage.start(t);
  agent.onLease(first);
  await stage.job(1);
  stage.engine.says({ type: "stage", stage: "denoise" });
  stage.engine.says({ type: "stage_ended", stage: "text_encode", seconds: 0.5 });
  const module = { layer: 0, block: "spatial", module: "mlp", calls: 2, seconds: 1 } as const;
  stage.engine.says({
    type: "steps",
    step: 2,
    steps: 10,
    stepSeconds: [1, 1],
    flops: 10,
    flopsNone: 30,
    modules: [{ ...module, tokensComputed: 5, tokensReused: 7, flops: 10 }],
  });
  const [told] = agent.progress().attempts;
  assert.equal(told?.stage, "denoise");
  assert.equal(told?.step, 2);
  assert.equal(told?.totals?.tokensComputed, 5n);
  assert.equal(told?.totals?.tokensReused, 7n);
  assert.equal(told?.totals?.flopsNone, 30);
  assert.equal(told?.totals?.textEncodeSeconds, 0.5);
});

test("a draining agent asks for nothing and waits for its clip", async (t) => {
  const stage = new Stage();
  const agent = await stage.start(t);
  agent.onLease(first);
  const job = await stage.job(1);
  let drained = false;
  const draining = agent.drain(60_000).then(() => {
    drained = true;
  });
  await Promise.resolve();
  assert.ok(!drained);
  await stage.finish(job);
  await draining;
  assert.deepEqual(agent.progress().idleDevices, []);
  assert.equal(stage.said.at(-1)?.$case, "completed");
});
