// /metrics of a farm with a real engine: every name and label of architecture.md is there with zero
// from the start, and after one clip the counters are the plan's figures.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FarmClient } from "../../cli/farm-client.js";
import { errorCodes } from "../../common/errors.js";
import { readModelFolder } from "../../engine/model-folder.js";
import { makePlan, type Plan } from "../../engine/plan.js";
import { demoSpec } from "../support/demo-spec.js";
import { demoPrompts, rendered } from "../support/farm-batches.js";
import type { Scrape } from "../support/farm-metrics.js";
import {
  demoModel,
  type FarmProcess,
  FarmSandbox,
  idleWorkers,
} from "../support/farm-processes.js";

const sandbox = new FarmSandbox();
after(() => sandbox.dispose());

let coordinator: FarmProcess;
let worker: FarmProcess;
let client: FarmClient;
const startsAtZero: { worker?: Scrape; coordinator?: Scrape } = {};

before(async () => {
  coordinator = await sandbox.coordinator();
  startsAtZero.coordinator = await coordinator.metrics();
  client = new FarmClient(coordinator.grpc);
  worker = await sandbox.worker(coordinator, "w1");
  await idleWorkers(client, "w1");
  startsAtZero.worker = await worker.metrics();
});
after(() => client.close());

const depth = 6; // of the demo model
const layers = Array.from({ length: depth }, (_, layer) => `${layer}`);
const blocks = ["spatial", "temporal"];
const modules = ["self_attention", "cross_attention", "mlp"];

/** Labels of every module of the demo model. */
const modulesOfModel = layers.flatMap((layer) =>
  blocks.flatMap((block) =>
    modules.map((module) => ({ device: "cpu", model: "demo", layer, block, module })),
  ),
);

test("the worker's series are all there with zero before the first clip", () => {
  const zero = startsAtZero.worker;
  assert.ok(zero);
  for (const labels of modulesOfModel) {
    for (const outcome of ["computed", "reused"]) {
      assert.equal(zero.one("tocafarm_tokens_total", { ...labels, outcome }), 0);
    }
    assert.equal(zero.one("tocafarm_module_seconds_total", labels), 0);
    assert.equal(zero.one("tocafarm_module_calls_total", labels), 0);
    assert.equal(zero.one("tocafarm_cache_drift_ratio", labels), 0);
  }
  assert.equal(zero.all("tocafarm_tokens_total").length, 2 * modulesOfModel.length);
  for (const outcome of ["computed", "saved"]) {
    assert.equal(zero.one("tocafarm_flops_total", { device: "cpu", outcome }), 0);
  }
  const step = { device: "cpu", model: "demo" };
  assert.equal(zero.one("tocafarm_step_seconds_count", step), 0);
  for (const stage of ["text_encode", "denoise", "decode", "encode", "upload"]) {
    assert.equal(zero.one("tocafarm_stage_seconds_count", { stage }), 0);
  }
  for (const outcome of ["encoded", "kept"]) {
    assert.equal(zero.one("tocafarm_prompts_total", { outcome }), 0);
  }
});

test("the coordinator's series are all there with zero before the first batch", () => {
  const zero = startsAtZero.coordinator;
  assert.ok(zero);
  for (const state of ["queued", "retry_wait", "leased", "running", "awaiting_approval"]) {
    assert.equal(zero.one("tocafarm_queue_segments", { state }), 0);
  }
  assert.equal(zero.one("tocafarm_backlog_device_seconds"), 0);
  for (const state of ["starting", "idle", "busy", "failed", "quarantined", "draining"]) {
    assert.equal(zero.one("tocafarm_devices", { state }), 0);
  }
  for (const reason of ["none", "preview", "segment"]) {
    assert.equal(zero.one("tocafarm_attempts_total", { outcome: "published", reason }), 0);
  }
  for (const reason of ["silent", "not_held", "handed_back", "cut", "revoked"]) {
    assert.equal(zero.one("tocafarm_attempts_total", { outcome: "lost", reason }), 0);
  }
  for (const reason of ["preempted", "paused", "drained"]) {
    assert.equal(zero.one("tocafarm_cuts_total", { reason }), 0);
  }
  for (const outcome of ["begun", "canary", "operator"]) {
    assert.equal(zero.one("tocafarm_quarantines_total", { outcome }), 0);
  }
  for (const outcome of ["saved", "lost"]) {
    assert.equal(zero.one("tocafarm_resume_steps_total", { outcome }), 0);
  }
  assert.equal(zero.one("tocafarm_attempts_resumed_total"), 0);
  assert.equal(zero.one("tocafarm_checkpoints_total"), 0);
  assert.equal(zero.one("tocafarm_coordinator_leader"), 1);
  for (const reason of Object.keys(errorCodes)) {
    assert.equal(zero.one("tocafarm_attempts_total", { outcome: "failed", reason }), 0);
  }
});

test("no series is named outside architecture.md's words, or by batch or clip", async () => {
  const known = /^(?:device|model|layer|block|module|outcome|stage|state|reason|le)$/;
  for (const scrape of [await worker.metrics(), await coordinator.metrics()]) {
    for (const { name, labels } of scrape.series) {
      assert.match(name, /^tocafarm_[a-z_]+$/);
      for (const label of Object.keys(labels)) assert.match(label, known, name);
    }
  }
});

const policies = [
  { name: "none", options: {} },
  { name: "toca", options: { warm: "1", interval: "2" } },
];
/** What one clip of the spec adds, by the plan: rows are the two halves of guidance. */
async function planOf(policy: (typeof policies)[number]): Promise<Plan> {
  const { configs } = await readModelFolder(demoModel);
  return makePlan(configs, { ...demoSpec, policy }, "fp32");
}

for (const policy of policies) {
  test(`after a clip with ${policy.name} the counters are the plan's figures`, async () => {
    const plan = await planOf(policy);
    const before = await worker.metrics();
    const [clip] = await rendered(client, demoPrompts.slice(0, 1), { policy });
    const now = await worker.metrics();
    const added = (name: string, labels: Readonly<Record<string, string>>) =>
      now.sum(name, labels) - before.sum(name, labels);

    const rows = 2;
    const passed = plan.steps.length * plan.tokens * rows;
    for (const labels of modulesOfModel) {
      const planned = plan.steps.flatMap((step) =>
        step.modules.filter(
          ({ layer, block, module }) =>
            `${layer}` === labels.layer && block === labels.block && module === labels.module,
        ),
      );
      const computed = planned.reduce((sum, { tokens }) => sum + tokens * rows, 0);
      const where = JSON.stringify(labels);
      const tokens = (outcome: string) => added("tocafarm_tokens_total", { ...labels, outcome });
      assert.equal(tokens("computed"), computed, where);
      assert.equal(tokens("computed") + tokens("reused"), passed, where);
      assert.equal(added("tocafarm_module_calls_total", labels), plan.steps.length, where);
      assert.ok(added("tocafarm_module_seconds_total", labels) > 0, where);
      // Seen at a refresh of what had been reused, and not in 6 steps for cross-attention.
      const drift = now.one("tocafarm_cache_drift_ratio", labels);
      assert.equal(drift > 0, isRefreshedAfterReuse(planned), `${where}: ${drift}`);
    }
    const flops = (outcome: string) => added("tocafarm_flops_total", { outcome });
    assert.ok(near(flops("computed"), plan.flops), `${flops("computed")} is ${plan.flops}`);
    assert.ok(near(flops("computed") + flops("saved"), plan.flopsNone));
    assert.equal(added("tocafarm_step_seconds_count", {}), plan.steps.length);
    const stages = { text_encode: 0, denoise: 0, decode: 0, encode: 0, upload: 0 };
    for (const stage of Object.keys(stages)) {
      assert.equal(added("tocafarm_stage_seconds_count", { stage }), 1, stage);
      assert.ok(added("tocafarm_stage_seconds_sum", { stage }) > 0, stage);
    }
    assert.equal(added("tocafarm_prompts_total", {}), 1);
    const { totals } = clip ?? {};
    const all = (outcome: string) => BigInt(added("tocafarm_tokens_total", { outcome }));
    assert.equal(totals?.tokensComputed, all("computed"));
    assert.equal(totals?.tokensReused, all("reused"));
    assert.ok(near(totals?.flops ?? 0, plan.flops) && near(totals?.flopsNone ?? 0, plan.flopsNone));
    const denoise = added("tocafarm_stage_seconds_sum", { stage: "denoise" });
    assert.ok(added("tocafarm_step_seconds_sum", {}) <= denoise);
    assert.ok(added("tocafarm_module_seconds_total", {}) <= denoise);
  });
}

test("the coordinator counts what was published and what is idle", async () => {
  const scrape = await coordinator.metrics();
  const published = { outcome: "published", reason: "none" };
  assert.equal(scrape.one("tocafarm_attempts_total", published), 2);
  assert.equal(scrape.one("tocafarm_devices", { state: "idle" }), 1);
  assert.equal(scrape.sum("tocafarm_queue_segments"), 0);
  assert.equal(scrape.one("tocafarm_backlog_device_seconds"), 0);
});

/** Whether a module's cache, once in use, is refreshed; `planned`: what it does, step by step. */
function isRefreshedAfterReuse(planned: Plan["steps"][number]["modules"]): boolean {
  const reused = planned.findIndex(({ decision }) => decision !== "refresh");
  return reused >= 0 && planned.slice(reused).some(({ decision }) => decision === "refresh");
}

/** Sums of doubles in another order. */
function near(value: number, wanted: number): boolean {
  return Math.abs(value - wanted) <= 1e-9 * Math.abs(wanted);
}
