// A render can be replayed and looked into: a given latent takes the seed's place, and the trace is
// what the profile, the batch's totals and the plan say too.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { readModelFolder } from "../../engine/model-folder.js";
import { makePlan, type Plan } from "../../engine/plan.js";
import { CliSandbox } from "../support/cli-process.js";
import { demoSpec } from "../support/demo-spec.js";
import { demoPrompts, digestOf } from "../support/farm-batches.js";
import { demoModel } from "../support/farm-processes.js";

const sandbox = new CliSandbox();
after(() => sandbox.dispose());

const prompt = demoPrompts[0] ?? "";
const twice = ["--prompt", prompt, "--prompt", prompt];
const small = ["--frames", "17", "--image-size", "64x64", "--steps", "6", "--threads", "1"];
const store = sandbox.path("store");

interface TraceLine {
  readonly step: number;
  readonly timestep: number;
  readonly layer: number;
  readonly block: string;
  readonly module: string;
  readonly decision: string;
  readonly tokens_computed: number;
  readonly tokens_reused: number;
  readonly seconds: number;
  readonly flops: number;
  readonly indices?: readonly (readonly number[])[];
}

interface ShownClip {
  readonly artifacts: readonly { readonly key: string }[];
  readonly totals: { readonly [name: string]: number };
}

async function render(folder: string, ...args: readonly string[]) {
  const output = sandbox.path(folder);
  const head = ["render", "--model", demoModel, ...small, "--output", output, "--json"];
  const { status, stdout, stderr } = await sandbox.run(...head, ...args);
  assert.equal(status, 0, stderr);
  const { clips }: { clips: readonly ShownClip[] } = JSON.parse(stdout);
  return clips;
}

let clips: readonly ShownClip[];
let trace: readonly TraceLine[];
let plan: Plan;

before(async () => {
  const outputs = ["--save-latent", sandbox.path("latents", "z.safetensors")];
  const traced = ["--trace", sandbox.path("traces", "t.jsonl"), "--trace-indices"];
  const fixed = ["--policy", "toca", "--seed", "7", "--data", store];
  clips = await render("first", ...twice, ...fixed, ...outputs, ...traced);
  const lines = readFileSync(sandbox.path("traces", "t_0000.jsonl"), "utf8").trimEnd().split("\n");
  trace = lines.map((line) => JSON.parse(line));
  const { configs } = await readModelFolder(demoModel);
  const toca = { name: "toca", options: {} };
  plan = makePlan(configs, { ...demoSpec, policy: toca }, "fp32");
});

const rows = 2; // with and without the prompt

test("every line of the trace is a module call of the plan, and does what was planned", () => {
  const planned = plan.steps.flatMap((step) => step.modules.map((module) => ({ step, module })));
  assert.equal(trace.length, planned.length);
  for (const [index, { step, module }] of planned.entries()) {
    const line = trace[index];
    assert.ok(line);
    const { layer, block, decision } = module;
    const place = { step: step.step, layer, block, module: module.module, decision };
    assert.deepEqual(
      {
        step: line.step,
        layer: line.layer,
        block: line.block,
        module: line.module,
        decision: line.decision,
      },
      place,
    );
    assert.equal(line.timestep, step.timestep);
    assert.equal(line.tokens_computed, module.tokens * rows, JSON.stringify(place));
    assert.equal(line.tokens_computed + line.tokens_reused, plan.tokens * rows);
    assert.equal(line.flops, module.flops, JSON.stringify(place));
    assert.ok(line.seconds >= 0);
  }
});

test("traced indices are the tokens that a partial module computed, k a row", () => {
  let partial = 0;
  for (const line of trace) {
    const isPartial = line.decision === "partial" && line.tokens_computed > 0;
    if (!isPartial) {
      assert.equal(line.indices, undefined, "all tokens, or none");
      continue;
    }
    partial += 1;
    assert.equal(line.indices?.length, rows);
    for (const row of line.indices ?? []) {
      assert.equal(row.length, line.tokens_computed / rows);
      assert.equal(new Set(row).size, row.length);
      assert.deepEqual(
        row,
        row.toSorted((a, b) => a - b),
      );
      assert.ok(row.every((token) => token >= 0 && token < plan.tokens));
    }
  }
  assert.ok(partial > 0, "the policy computes some tokens of a module");
});

test("trace, profile and totals say the same", () => {
  const [clip] = clips;
  const profileKey = clip?.artifacts.find(({ key }) => key.endsWith("/profile.json"))?.key ?? "";
  const profile = JSON.parse(readFileSync(path.join(store, "artifacts", profileKey), "utf8"));
  assert.deepEqual([profile.model, profile.policy], ["demo", "toca"]);
  const profiled = profile.steps.flatMap(
    (step: { step: number; timestep: number; trunk: string; modules: readonly unknown[][] }) =>
      step.modules.map((row) => ({
        step: step.step,
        timestep: step.timestep,
        trunk: step.trunk,
        ...Object.fromEntries(profile.columns.map((name: string, i: number) => [name, row[i]])),
      })),
  );
  assert.deepEqual(
    trace.map(({ indices: _, ...line }) => line),
    profiled,
  );
  const sum = (field: "tokens_computed" | "tokens_reused") =>
    trace.reduce((total, line) => total + line[field], 0);
  assert.equal(clip?.totals["tokensComputed"], sum("tokens_computed"));
  assert.equal(clip?.totals["tokensReused"], sum("tokens_reused"));
  const flops = profile.steps.map((step: { flops: number }) => step.flops);
  assert.deepEqual(
    flops,
    plan.steps.map((step) => step.flops),
  );
});

test("a given latent decides the bits, and the seed no longer", async () => {
  const first = sandbox.path("latents", "z_0000.safetensors");
  const second = sandbox.path("latents", "z_0001.safetensors");
  assert.notEqual(digestOf(first), digestOf(second));
  await render("from-first", ...twice, "--initial-latent", first);
  await render("from-second", "--prompt", prompt, "--initial-latent", second);
  const video = (folder: string, index: number) =>
    digestOf(sandbox.path(folder, `sample_000${index}.mp4`));
  assert.equal(video("from-first", 0), video("from-first", 1));
  assert.notEqual(video("from-first", 0), video("from-second", 0));
  const manifest = JSON.parse(readFileSync(sandbox.path("from-first", "sample_0001.json"), "utf8"));
  assert.equal(manifest.initial_latent, `blobs/${digestOf(first)}`);
});
