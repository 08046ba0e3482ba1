import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../common/paths.js";
import { type EstimateOptions, estimateCommand, estimateOf } from "./commands/estimate.js";
import { labelOf } from "./compare/policies.js";
import { type Estimate, estimateJson, estimateText } from "./estimate.js";
import { knownModels } from "./known-models.js";

const demo = path.join(packageRoot(), "models", "demo");

async function estimateFor(...args: readonly string[]): Promise<Estimate> {
  const command = estimateCommand().exitOverride();
  command.configureOutput({ writeErr: () => {} });
  return estimateOf(command.parse(args, { from: "user" }).opts<EstimateOptions>());
}

interface PublishedRow {
  readonly name: string;
  readonly options: readonly string[];
  /** Teraflops and speed-up, as published ("-": not) and as printed. */
  readonly figures: readonly (readonly [published: string, printed: string])[];
}

/** The rows of docs/estimate.md that name options of the command. */
async function publishedRows(): Promise<readonly PublishedRow[]> {
  const text = await readFile(path.join(packageRoot(), "docs", "estimate.md"), "utf8");
  return text
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .filter((cells) => cells.some((cell) => cell.startsWith("`--model ")))
    .map(([, name = "", options = "", flops = "", flopsHere = "", ratio = "", ratioHere = ""]) => ({
      name,
      options: options.replaceAll("`", "").split(" "),
      figures: [
        [flops, flopsHere],
        [ratio, ratioHere],
      ],
    }));
}

test("the published tables are what is counted, and the documentation says so", async () => {
  const rows = await publishedRows();
  assert.ok(rows.length >= 3, "docs/estimate.md has its table");
  for (const { name, options, figures } of rows) {
    const { plan } = await estimateFor(...options);
    const counted = [plan.flops / 1e12, plan.flopsNone / plan.flops];
    const printed = [counted[0]?.toFixed(1), counted[1]?.toFixed(2)];
    assert.deepEqual(printed, [figures[0]?.[1], figures[1]?.[1]], `${name}: as documented`);
    for (const [index, [published]] of figures.entries()) {
      if (published === "-") continue;
      const error = Math.abs((counted[index] ?? 0) / Number(published) - 1);
      assert.ok(error < 0.005, `${name}: ${counted[index]} instead of ${published}`);
    }
  }
});

test("the presets are the policies that the documentation says", async () => {
  const text = await readFile(path.join(packageRoot(), "docs", "policies.md"), "utf8");
  const rows = [...text.matchAll(/^\| `(\w+)` \| `(\S+)` \|.*?\| ([\d.]+) % \|/gm)];
  assert.equal(rows.length, 3, "docs/policies.md has a row for each");
  for (const [, preset = "", policy, percent] of rows) {
    const { plan } = await estimateFor("--model", demo, "--steps", "30", "--preset", preset);
    assert.equal(labelOf(plan.policy), policy);
    assert.equal(((100 * plan.flops) / plan.flopsNone).toFixed(1), percent);
  }
});

test("a preset takes options of its own, and no policy beside it", async () => {
  const preset = ["--model", "pixart-alpha-256", "--preset", "balanced"];
  const estimated = await estimateFor(...preset, "--policy-option", "interval=5");
  assert.equal(estimated.plan.policy.options["interval"], "5");
  assert.match(estimateText(estimated), /^policy preset:balanced = \w+\(.*interval=5/m);
  await assert.rejects(estimateFor(...preset, "--policy", "toca"), { message: /cannot be used/ });
});

test("a plan of one step and one of a thousand have heads that people can read", async () => {
  const preset = ["--model", demo, "--preset", "balanced", "--steps"];
  const many = await estimateFor(...preset, "1000");
  for (const line of estimateText(many).split("\n").slice(0, 2)) {
    assert.ok([...line].length <= 100, line);
  }
  assert.ok((many.plan.policy.options["compute"]?.length ?? 0) > 100, "the plan has it whole");
  assert.match(estimateText(await estimateFor(...preset, "1")), /, 1 step of rflow, /);
});

test("every model known by name is planned", async () => {
  for (const model of await knownModels()) {
    const { plan, warnings } = await estimateFor("--model", model);
    assert.ok(plan.flops > 0 && plan.peakBytes > 0, model);
    assert.deepEqual(warnings, [], model);
  }
});

test("the JSON form has the figures by name, and steps that add up to them", async () => {
  const estimated = await estimateFor("--model", demo, "--policy", "toca", "--text-tokens", "12");
  const json = JSON.parse(JSON.stringify(estimateJson(estimated)));
  const { plan } = estimated;
  assert.equal(json.flops_none, plan.flopsNone);
  assert.equal(json.ratio, json.flops_none / json.flops);
  assert.equal(json.cache_bytes, plan.cacheBytes);
  assert.equal(json.peak_bytes, plan.peakBytes);
  assert.equal(json.peak_bytes_prompt_kept, plan.peakBytesPromptKept);
  assert.equal(json.request.text_tokens, 12);
  assert.deepEqual(json.request.policy, { name: "toca", options: {} });
  assert.equal(json.steps.length, 30);
  let flops = 0;
  for (const step of json.steps) {
    assert.equal(step.modules.length, 6, "three modules in two kinds of blocks");
    for (const module of step.modules) {
      assert.equal(module.refresh + module.partial + module.reuse, 6, "one call a layer");
      assert.equal(module.tokens_computed + module.tokens_reused, 6 * json.tokens);
      flops += module.flops;
    }
  }
  assert.ok(Math.abs(flops / json.flops - 1) < 1e-9);
});

test("the text form fits 100 columns and has a line for each step", async () => {
  const text = estimateText(await estimateFor("--model", demo, "--policy", "toca"));
  const lines = text.split("\n");
  assert.ok(lines.every((line) => [...line].length <= 100));
  assert.match(text, /^demo: 17 frames of 128x128, 30 steps of rflow, fp32, 30 text tokens$/m);
  assert.match(text, /^ +4 +\S+ +0 \/ 0 \/ 12 +0 \/ 0 \/ 12 +0 \/ 12 \/ 0 /m);
  assert.equal(lines.filter((line) => /^ *\d+ /.test(line)).length, 30);
});

test("at a step of the conditional half alone, half of the tokens are computed", async () => {
  const estimated = await estimateFor("--model", demo, "--policy", "fastercache");
  const json = JSON.parse(JSON.stringify(estimateJson(estimated)));
  for (const { step, flops, modules, refresh_point } of json.steps) {
    const half = step >= 12 && step % 5 !== 0;
    assert.equal(refresh_point, !half);
    assert.equal(flops, json.steps[0].flops / (half ? 2 : 1));
    for (const module of modules) {
      assert.deepEqual([module.refresh, module.conditional], half ? [0, 6] : [6, 0]);
      assert.equal(module.tokens_reused, half ? 3 * json.tokens : 0);
      assert.equal(module.tokens_computed + module.tokens_reused, 6 * json.tokens);
    }
  }
  assert.equal(json.flops, 0.75 * json.flops_none);
  const text = estimateText(estimated);
  assert.ok(text.split("\n").every((line) => [...line].length <= 100));
  assert.match(text, /^Modules at each step: refreshed .* \/ conditional half\.$/m);
  assert.match(text, /^ +12 +\S+ +0 \/ 0 \/ 0 \/ 12 .* 50\.0 %/m);
});

test("a policy that computes everything costs the same as none", async () => {
  const text = estimateText(await estimateFor("--model", demo, "--policy", "none"));
  assert.match(text, /^under policy none +144 GFLOP: the same$/m);
});

test("a cache in fewer bits takes less memory and computes the same", async () => {
  const of = async (...options: readonly string[]) =>
    (await estimateFor("--model", demo, "--policy", "toca", ...options)).plan;
  const whole = await of();
  const quarter = await of("--cache-dtype", "fp8");
  assert.equal(quarter.policy.options["cache_dtype"], "fp8");
  assert.equal(quarter.flops, whole.flops);
  assert.ok(quarter.cacheBytes < 0.3 * whole.cacheBytes);
});

test("more text tokens cost more, by what cross-attention does with them", async () => {
  const of = (count: string) => estimateFor("--model", "open-sora-v1.2", "--text-tokens", count);
  const [one, two, three] = await Promise.all([of("1"), of("2"), of("3")]);
  const growth = two.plan.flops - one.plan.flops;
  assert.ok(growth > 0);
  assert.ok(Math.abs(three.plan.flops - two.plan.flops - growth) < 1e-6 * growth);
});

test("a folder without the other parts' configs is planned, with a warning for each", async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), "tocafarm-configs-"));
  t.after(() => rm(folder, { recursive: true }));
  await cp(path.join(demo, "transformer"), path.join(folder, "transformer"), {
    recursive: true,
    filter: (source) => !source.endsWith(".safetensors"),
  });
  const size = ["--frames", "17", "--image-size", "128x128", "--steps", "30"];
  const bare = await estimateFor("--model", folder, ...size);
  const whole = await estimateFor("--model", demo, ...size);
  assert.equal(bare.plan.flops, whole.plan.flops);
  assert.ok(bare.plan.peakBytes < whole.plan.peakBytes);
  assert.deepEqual(bare.warnings, [
    "vae/config.json is missing: the memory of that part is left out",
    "text_encoder/config.json is missing: the memory of that part is left out",
  ]);
});

const refused: readonly (readonly [args: string, message: RegExp])[] = [
  ["", /--model NAME is required/],
  ["--model open-sora", /open-sora is missing.*known models are.* open-sora-v1\.2/],
  ["--model open-sora-v1.2 --policy tooca", /unknown policy.*tooca.*none/],
  ["--model open-sora-v1.2 --policy toca --policy-option intervall=2", /intervall/],
  ["--model open-sora-v1.2 --preset fast", /unknown preset "fast"; known: preview balanced/],
  ["--model open-sora-v1.2 --steps 0", /--steps is 0/],
  ["--model open-sora-v1.2 --text-tokens 5000", /--text-tokens is 5000; .* 1 to 4096/],
  ["--model open-sora-v1.2 --resolution 481p", /--resolution is 481p; known are 144p/],
  ["--model open-sora-v1.2 --aspect-ratio 16", /--aspect-ratio is 16; known are/],
];

for (const [args, message] of refused) {
  test(`estimate ${args} is refused with what would do`, async () => {
    await assert.rejects(estimateFor(...args.split(" ").filter(Boolean)), { message });
  });
}
