// Whether toca is nearer to none than fora and than fewer steps at equal FLOPs, on the demo model:
// finds the settings that cost the same, has `tocafarm compare` render and measure them, and prints
// the tables of docs/quality.md. What was rendered stays in the folder and is used again.
//
//   node dist/bench/quality.js FOLDER [SEEDS] [MORE POLICIES, as compare takes them]
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { planRequest, renderSpec } from "../cli/render-spec.js";
import { readModelFolder } from "../engine/model-folder.js";
import { makePlan, type Policy } from "../engine/plan.js";

const root = path.resolve(import.meta.dirname, "../..");
const model = await readModelFolder(path.join(root, "models/demo"));
const spec = renderSpec({}, model);

// A budget of FLOPs is what fora costs at one of these; toca then has so many more steps a cycle.
const foraIntervals = [2, 3, 4, 6];
const longerCycles = [1, 2];
const bisections = 24;

/** FLOPs as a share of none's. */
function cost(policy: Policy): number {
  const { name, options } = policy;
  const request = planRequest({ ...spec, policy: { name, options: { ...options } } });
  const { flops, flopsNone } = makePlan(model.configs, request, "fp32");
  return flops / flopsNone;
}

function toca(interval: number, freshRatio: number): Policy {
  return {
    name: "toca",
    options: { interval: `${interval}`, fresh_ratio: freshRatio.toFixed(4) },
  };
}

/** The fresh ratio at which toca costs as much as the budget; undefined = no ratio does. */
function tocaAt(budget: number, interval: number): Policy | undefined {
  let [low, high] = [0.0001, 1];
  if (cost(toca(interval, low)) > budget || cost(toca(interval, high)) < budget) return undefined;
  for (let round = 0; round < bisections; round++) {
    const middle = (low + high) / 2;
    if (cost(toca(interval, middle)) > budget) high = middle;
    else low = middle;
  }
  return toca(interval, low);
}

/** Policies that cost the same: fora, fewer steps, and toca with longer cycles. */
function budgetOf(interval: number): readonly Policy[] {
  const fora = { name: "fora", options: { interval: `${interval}` } };
  const budget = cost(fora);
  const fewer = { name: "steps", options: { ratio: budget.toFixed(4) } };
  const tocas = longerCycles.map((more) => tocaAt(budget, interval + more));
  return [fora, fewer, ...tocas.filter((policy) => policy !== undefined)];
}

/** As compare names it. */
function labelOf({ name, options }: Policy): string {
  const written = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${name}(${written.map(([option, value]) => `${option}=${value}`).join(",")})`;
}

interface Quality {
  readonly psnr_db: number;
  readonly ssim: number;
  readonly ms_ssim: number;
}

interface Findings {
  readonly label: string;
  readonly flops_ratio: number;
  readonly speedup: number;
  readonly cache_bytes: number;
  readonly quality: Quality | null;
  readonly clips: readonly { readonly quality: Quality | null }[];
}

function compare(folder: string, seeds: string, policies: readonly string[]): readonly Findings[] {
  const args = [
    ...["compare", "--model", model.path, "--prompts", path.join(model.path, "prompts.txt")],
    ...["--seeds", seeds, "--policies", policies.join(","), "--out", folder],
  ];
  const { status } = spawnSync(process.execPath, [path.join(root, "dist/cli/main.js"), ...args], {
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) throw new Error(`tocafarm compare ended with status ${status}`);
  return JSON.parse(readFileSync(path.join(folder, "report.json"), "utf8")).policies;
}

/** Mean difference of PSNR to fora, clip by clip, with its standard error, and how often above. */
function against(fora: Findings, other: Findings): string {
  if (fora === other) return " | | ";
  const gains = other.clips.map(
    ({ quality }, index) => (quality?.psnr_db ?? 0) - (fora.clips[index]?.quality?.psnr_db ?? 0),
  );
  const mean = gains.reduce((sum, gain) => sum + gain, 0) / gains.length;
  const squares = gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0);
  const error = Math.sqrt(squares / Math.max(1, gains.length - 1) / gains.length);
  const wins = gains.filter((gain) => gain > 0).length;
  const gain = `${mean < 0 ? "−" : "+"}${Math.abs(mean).toFixed(2)}`;
  return ` | ${gain} ± ${error.toFixed(2)} | ${wins} of ${gains.length}`;
}

function row(findings: Findings, last: string): string {
  const { label, flops_ratio, quality } = findings;
  const figures = [
    `${(100 / flops_ratio).toFixed(1)} %`,
    quality?.psnr_db.toFixed(2),
    quality?.ssim.toFixed(4),
    quality?.ms_ssim.toFixed(4),
  ];
  return `| \`${label}\` | ${figures.join(" | ")}${last} |`;
}

function worst({ clips }: Findings): string {
  return ` | ${Math.min(...clips.map(({ quality }) => quality?.psnr_db ?? 0)).toFixed(1)}`;
}

const [folder, seeds = "2", ...more] = process.argv.slice(2);
if (folder === undefined) throw new Error("name a folder: node dist/bench/quality.js FOLDER");
const budgets = foraIntervals.map(budgetOf);
const others = ["toca", ...more];
const found = compare(folder, seeds, [...budgets.flat().map(labelOf), ...others]);
const byLabel = new Map(found.map((findings) => [findings.label, findings]));

const columns = "FLOPs of none | PSNR, dB | SSIM | MS-SSIM";
process.stdout.write(`| policy | ${columns} | PSNR against fora | nearer than fora |\n`);
process.stdout.write("|---|---:|---:|---:|---:|---:|---:|\n");
for (const budget of budgets) {
  const rows = budget.map((policy) => byLabel.get(labelOf(policy)));
  const [fora] = rows;
  for (const each of rows) if (fora && each) console.log(row(each, against(fora, each)));
}
const named = new Set(budgets.flat().map(labelOf));
process.stdout.write(
  `\n| policy | ${columns} | worst clip, dB |\n|---|---:|---:|---:|---:|---:|\n`,
);
for (const findings of found) {
  if (findings.quality && !named.has(findings.label)) console.log(row(findings, worst(findings)));
}
