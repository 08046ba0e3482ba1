// `tocafarm compare`: the same prompts and seeds under several caching policies and under none, and
// a report of what each cost and how near it came.
import path from "node:path";
import { type Command, Option } from "commander";
import { lockFolder } from "../../common/folder-lock.js";
import { readModelFolder } from "../../engine/model-folder.js";
import { checkPromptsFor } from "../../engine/plan.js";
import { numberOption, repeated, requiredOption } from "../args.js";
import { prepareFolder } from "../clip-files.js";
import { type Comparison, checkFolder, newComparison } from "../compare/comparison.js";
import { measureAll } from "../compare/measure.js";
import { readPolicies } from "../compare/policies.js";
import { renderPolicies } from "../compare/render-policies.js";
import { makeReport, reportJson } from "../compare/report.js";
import { summaryText } from "../compare/summary.js";
import { writeReport } from "../compare/write-report.js";
import { deviceOption, threadsOption, workersOption } from "../farm-options.js";
import { interruptible } from "../interrupt.js";
import { printJson } from "../json-output.js";
import type { OwnFarmOptions } from "../own-farm.js";
import {
  addClipOptions,
  cacheDtypeOption,
  promptsOf,
  renderSpec,
  type SpecOptions,
  withCacheDtype,
} from "../render-spec.js";

interface CompareOptions
  extends Omit<SpecOptions, "policy" | "policyOption">,
    Omit<OwnFarmOptions, "data"> {
  readonly model?: string;
  readonly policies?: string;
  readonly policyOption?: readonly string[];
  readonly seeds: number;
  readonly out: string;
  readonly json?: true;
}

const seedsMax = 100;

const examples = `
Examples:
  tocafarm compare --model models/demo --prompts models/demo/prompts.txt --policies toca,fora
  tocafarm compare --model models/demo --prompt "a red circle moves right" --seeds 4 \\
      --policies "toca(fresh_ratio=0.2),toca(interval=4),fora" --policy-option fora.interval=3
  tocafarm compare --model models/demo --prompts shots.txt --policies toca,./mine.json

"none" and "steps(ratio=0.5)", half the steps, are always among them. The same command goes on with
what an interrupted one left; further policies join what is there.`;

export function addCompare(program: Command): void {
  const command = program
    .command("compare")
    .description("compare caching policies by cost and quality")
    .option("--model <dir>", "a model folder (required)")
    .option("--policies <list>", "policies, with options in brackets, or policy files (required)");
  addClipOptions(command)
    .addOption(
      new Option("--policy-option <p.k=v>", "of all policies of that name; may be repeated") //
        .argParser(repeated),
    )
    .addOption(cacheDtypeOption())
    .addOption(
      new Option("--seeds <n>", "how often each prompt is rendered, with further seeds")
        .argParser(numberOption("--seeds", { min: 1, max: seedsMax }))
        .default(1),
    )
    .option("--out <dir>", "where clips and report go", "comparison")
    .addOption(deviceOption())
    .addOption(workersOption())
    .addOption(threadsOption())
    .option("--json", "print the report as JSON")
    .option("--verbose", "show the log of all processes")
    .addHelpText("after", examples)
    .action((options: CompareOptions) => interruptible((signal) => compare(options, signal)));
}

async function compare(options: CompareOptions, signal: AbortSignal): Promise<void> {
  const comparison = await readComparison(options);
  const { undo } = await prepareFolder(comparison.folder);
  const lock = await lockFolder(comparison.folder, "--out");
  try {
    await fillFolder(comparison, options, signal);
  } finally {
    await lock.release();
    await undo(); // unless something lies in it
  }
}

/** Renders and measures what is missing, and writes the report. */
async function fillFolder(
  comparison: Comparison,
  options: CompareOptions,
  signal: AbortSignal,
): Promise<void> {
  const quiet = options.json === true;
  await checkFolder(comparison);
  await renderPolicies(comparison, { farm: options, quiet, signal });
  const { policies, vmaf } = await measureAll(comparison, { quiet, signal });
  const report = await makeReport(comparison, policies, vmaf);
  const file = await writeReport(report, comparison.folder);
  if (quiet) printJson(reportJson(report));
  else process.stdout.write(`${summaryText(report)}\nreport: ${path.relative("", file)}\n`);
}

async function readComparison(options: CompareOptions): Promise<Comparison> {
  const { policies: list, policyOption = [], seeds, out: folder, ...shared } = options;
  const named = requiredOption(list, "--policies LIST");
  const policies = await readPolicies(named, policyOption, withCacheDtype({}, shared.cacheDtype));
  const model = await readModelFolder(requiredOption(options.model, "--model DIR"));
  const prompts = await promptsOf(shared);
  checkPromptsFor(model.configs, prompts);
  const spec = renderSpec(shared, model);
  return newComparison({ folder, model, spec, prompts, seeds, policies });
}
