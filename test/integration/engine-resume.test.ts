// Cutting and resuming across the native line, on the real engine and the demo model: events come
// in order, a cut ends with INTERRUPTED after its checkpoint, and the rest of the clip has the bits
// of one that was never cut. Which steps are refresh points is the engine's own tests' business.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Engine, EngineEvent, Render, RenderOptions } from "../../engine/engine.js";
import { readModelFolder } from "../../engine/model-folder.js";
import { makePlan } from "../../engine/plan.js";
import { loadDemoEngine } from "../support/demo-engine.js";
import { demoModel } from "../support/farm-processes.js";

const folder = mkdtempSync(join(tmpdir(), "tocafarm-resume-"));
const plan = {
  frames: 51,
  height: 64,
  width: 48,
  fps: 8,
  steps: 8,
  guidance: 4,
  sampler: "",
  policy: { name: "toca", options: {} },
};
const options: RenderOptions = {
  request: { ...plan, prompt: "a red circle moves right on a white background", seed: 7n },
  initialLatentPath: null,
  saveLatentPath: null,
  traceIndices: false,
  resumeFromPath: null,
  checkpointFolder: folder,
  checkpointPeriodSeconds: 0,
};
let engine: Engine;
let whole: string;

before(async () => {
  engine = await loadDemoEngine();
  whole = (await render({ ...options, checkpointFolder: null })).digest;
});
after(async () => {
  await engine.close();
  rmSync(folder, { recursive: true });
});

interface Seen {
  readonly digest: string;
  readonly events: readonly EngineEvent[];
}

/** Renders to the end; `onEvent` sees each event first, and may cut. */
async function render(
  changed: RenderOptions,
  onEvent: (event: EngineEvent, running: Render) => void = () => {},
): Promise<Seen> {
  const digest = createHash("sha256");
  const events: EngineEvent[] = [];
  const running = engine.render(changed, (event) => {
    onEvent(event, running);
    events.push(event);
    if (event.type !== "frames") return;
    digest.update(event.rgb);
    running.releaseFrames();
  });
  await running.result;
  return { digest: digest.digest("hex"), events };
}

/** The checkpoints of a render that is cut when `moment` says so. */
async function cutAt(changed: RenderOptions, moment: (event: EngineEvent) => boolean) {
  const checkpoints: Extract<EngineEvent, { type: "checkpoint" }>[] = [];
  const rendered = render(changed, (event, running) => {
    if (event.type === "checkpoint") checkpoints.push(event);
    if (moment(event)) running.cut();
  });
  await assert.rejects(rendered, { code: "INTERRUPTED", message: /^the render was cut/ });
  return checkpoints;
}

test("a plan names its refresh points", async () => {
  const made = makePlan((await readModelFolder(demoModel)).configs, plan, "fp32");
  assert.deepEqual(made.refreshPoints, [0, 1, 2, 6]);
  const marked = made.steps.filter((step) => step.refreshPoint).map(({ step }) => step);
  assert.deepEqual(made.refreshPoints, marked);
});

test("a checkpoint is told of before the step that it names", async () => {
  const { digest, events } = await render(options);
  assert.equal(digest, whole);
  const told = events.flatMap((event) =>
    event.type === "step" || event.type === "checkpoint" ? [`${event.type} ${event.step}`] : [],
  );
  const steps = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((step) =>
    [1, 2, 6].includes(step) ? [`checkpoint ${step}`, `step ${step}`] : [`step ${step}`],
  );
  assert.deepEqual(told, [...steps, "checkpoint 8"]);
  assert.deepEqual(
    readdirSync(folder).sort(),
    [1, 2, 6, 8].map((step) => `checkpoint-${step}.safetensors`),
  );
});

test("a clip that is cut in a step goes on with the same bits", async () => {
  const hourly = { ...options, checkpointPeriodSeconds: 3600 };
  // JavaScript hears of a step when the engine is already in the next one.
  const [checkpoint, ...more] = await cutAt(hourly, (event) => event.type === "step");
  assert.deepEqual(more, []);
  assert.ok(checkpoint !== undefined && [1, 2, 6, 8].includes(checkpoint.step));
  const { digest, events } = await render({ ...hourly, resumeFromPath: checkpoint.path });
  assert.equal(digest, whole);
  const first = events.find((event) => event.type === "step");
  assert.equal(first?.step, checkpoint.step === 8 ? undefined : checkpoint.step);
});

test("under a dynamic policy a clip goes on from any step whose trunk ran", async () => {
  const policy = { name: "teacache", options: { delta: "0.3", polynomial: "1,0" } };
  const request = { ...options.request, frames: 17, policy };
  const { digest, events } = await render({ ...options, request });
  const steps = events.flatMap((event) => (event.type === "step" ? [event] : []));
  const ran = steps.filter(({ trunk }) => trunk === "run").map(({ step }) => step);
  assert.ok(ran.length > 2 && ran.length < 8, `the trunk ran at steps ${ran}`);
  for (const { trunk, flops, modules } of steps) {
    const computed = modules.reduce((sum, { tokensComputed }) => sum + tokensComputed, 0);
    assert.deepEqual([flops > 0, computed > 0], [trunk === "run", trunk === "run"]);
  }
  const saved = events.flatMap((event) => (event.type === "checkpoint" ? [event] : []));
  assert.deepEqual(
    saved.map(({ step }) => step),
    [...ran.slice(1), 8],
  );
  for (const { path } of saved.slice(0, -1)) {
    assert.equal((await render({ ...options, request, resumeFromPath: path })).digest, digest);
  }
});

test("a cut while frames wait for the encoder keeps the final latent", async () => {
  const hourly = { ...options, checkpointPeriodSeconds: 3600 };
  const checkpoints: EngineEvent[] = [];
  let groups = 0;
  const running = engine.render(hourly, (event) => {
    if (event.type === "checkpoint") checkpoints.push(event);
    if (event.type === "frames") groups += 1;
    if (groups === 2) running.cut(); // none was released: the engine stands still
  });
  await assert.rejects(running.result, { code: "INTERRUPTED" });
  const path = join(folder, "checkpoint-8.safetensors");
  assert.deepEqual(checkpoints, [{ type: "checkpoint", step: 8, path }]);
  assert.equal((await render({ ...hourly, resumeFromPath: path })).digest, whole);
});

test("a cut before a step is done keeps nothing, and one after the end does nothing", async () => {
  const running = engine.render({ ...options, checkpointPeriodSeconds: 3600 }, () => {});
  running.cut();
  await assert.rejects(running.result, { code: "INTERRUPTED" });
  running.cut();
  assert.equal((await render(options)).digest, whole);
});

test("a checkpoint that cannot be written is told, and costs no clip", async () => {
  const { digest, events } = await render({ ...options, checkpointFolder: join(folder, "none") });
  const failed = events.filter((event) => event.type === "checkpoint_failed");
  assert.deepEqual(
    failed.map(({ step }) => step),
    [1, 2, 6, 8],
  );
  assert.match(failed[0]?.message ?? "", /cannot create .*No such file/);
  assert.equal(digest, whole);
});

test("a damaged checkpoint is refused, and the engine renders the next clip", async () => {
  const path = join(folder, "damaged.safetensors");
  writeFileSync(path, "no checkpoint");
  await assert.rejects(render({ ...options, resumeFromPath: path }), {
    code: "INVALID_CHECKPOINT",
    message: /^the checkpoint cannot be read: .*damaged\.safetensors/,
  });
  assert.equal((await render(options)).digest, whole);
});
