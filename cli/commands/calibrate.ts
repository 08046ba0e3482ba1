// `tocafarm calibrate`: finds the best static schedule of reuse for a model, a size and a number of
// steps, and writes it as a policy file.
import { type Command, Option } from "commander";
import { cacheVariable, engineCache } from "../../engine/cache.js";
import { Engine, type RenderRequest } from "../../engine/engine.js";
import { type ModelFolder, readModelFolder } from "../../engine/model-folder.js";
import { makePlan } from "../../engine/plan.js";
import { modelPrompt } from "../../engine/prompt.js";
import { numberOption, requiredOption } from "../args.js";
import { type Budget, readBudget } from "../calibrate/budget.js";
import { bestOf, policyFile, type TriedCandidate, tryCandidates } from "../calibrate/calibrate.js";
import {
  type RecordedRender,
  type Recording,
  readRecording,
  record,
  writeRecording,
} from "../calibrate/recording.js";
import { prepareFile } from "../clip-files.js";
import { writeWhole } from "../compare/comparison.js";
import { interruptible } from "../interrupt.js";
import {
  addClipOptions,
  planRequest,
  promptsOf,
  renderSpec,
  type SpecOptions,
} from "../render-spec.js";
import { type Column, share, table } from "../table.js";

interface CalibrateOptions extends Omit<SpecOptions, "policy" | "policyOption" | "preset"> {
  readonly model?: string;
  readonly budget?: string;
  readonly modules?: true;
  readonly recording?: string;
  readonly output?: string;
  readonly device: string;
  readonly threads: number;
}

const threadsMax = 1024;

const examples = `
Examples:
  tocafarm calibrate --model models/demo --prompts some.txt --budget 12 --output twelve.json
  tocafarm calibrate --model models/demo --prompts some.txt --budget 40% --modules \\
      --recording demo.recording.json --output modules.json
  tocafarm render --model models/demo --prompt "a red circle moves right" --policy twelve.json

It takes about half as many renders of each prompt as there are steps. --recording keeps what they
found: another budget then takes a few.`;

export function addCalibrate(program: Command): void {
  const command = program
    .command("calibrate")
    .description("find the best steps to compute")
    .option("--model <dir>", "a model folder (required)")
    .option("--budget <n>", "steps to compute, or a share of none's FLOPs as in 40% (required)")
    .option("--output <file>", "the policy file that is written, FILE.json (required)");
  addClipOptions(command)
    .option("--modules", "a schedule for modules (module_mask), not for the whole trunk (mask)")
    .option("--recording <file>", "keeps what was recorded, and is used where it is there")
    .option("--device <name>", "cpu", "cpu")
    .addOption(
      new Option("--threads <n>", "of the engine, 0 = all cores")
        .argParser(numberOption("--threads", { min: 0, max: threadsMax }))
        .default(0),
    )
    .addHelpText("after", examples)
    .action((options: CalibrateOptions) => interruptible((signal) => calibrate(options, signal)));
}

/** What is calibrated, once all options are read. */
interface Task {
  readonly model: ModelFolder;
  /** Under policy none. */
  readonly clips: readonly RenderRequest[];
  readonly render: Omit<RecordedRender, "model_digest">;
  readonly budget: Budget;
  readonly output: string;
}

async function calibrate(options: CalibrateOptions, signal: AbortSignal): Promise<void> {
  const task = await readTask(options);
  const { undo } = await prepareFile(task.output);
  const { device, threads, dtype = "fp32" } = options;
  const cache = engineCache(process.env[cacheVariable], process.env);
  const engine = await Engine.create({ model: task.model.path, device, dtype, threads, cache });
  const cancel = () => engine.cancel();
  signal.addEventListener("abort", cancel);
  try {
    signal.throwIfAborted();
    await calibrateOn(engine, task, options);
  } finally {
    signal.removeEventListener("abort", cancel);
    await engine.close();
    await undo(); // unless the file lies in it
  }
}

async function readTask(options: CalibrateOptions): Promise<Task> {
  const model = await readModelFolder(requiredOption(options.model, "--model DIR"));
  const budgetText = requiredOption(options.budget, "--budget N");
  const output = requiredOption(options.output, "--output FILE");
  const prompts = await promptsOf(options);
  const spec = renderSpec(options, model);
  const request = planRequest(spec);
  const { sampler } = makePlan(model.configs, request, options.dtype ?? "fp32");
  const { steps, width, height, frames, fps, guidance } = request;
  const clips = prompts.map((prompt, index) => ({
    ...request,
    prompt: modelPrompt(prompt, spec.scores ?? {}, model.traits.prompt),
    seed: BigInt.asUintN(64, spec.seed + BigInt(index)),
  }));
  const size = { steps, width, height, frames, fps, guidance, sampler };
  const dtype = options.dtype ?? "fp32";
  const render = { model: model.name, ...size, dtype, prompts, seed: `${spec.seed}` };
  return { model, clips, render, budget: readBudget(budgetText, steps), output };
}

async function calibrateOn(engine: Engine, task: Task, options: CalibrateOptions): Promise<void> {
  const { model, clips, budget, output } = task;
  const render = { ...task.render, model_digest: engine.info.weightsDigest };
  const recording = await recordingOf(engine, clips, render, options.recording);
  const tried = await tryCandidates({
    ...{ engine, model, dtype: options.dtype ?? "fp32", clips, recording, budget },
    modules: options.modules === true,
    onStep: progress("trying schedules"),
  });
  clearProgress();
  const best = bestOf(tried);
  if (best === undefined) throw new Error("there is always an evenly spaced schedule");
  await writeWhole(output, policyFile(best, render, tried));
  process.stdout.write(`${summary(tried)}\n\n${output}: ${best.name}\n`);
}

/** The one in the file, if it is there; else it is made, and kept there. */
async function recordingOf(
  engine: Engine,
  clips: readonly RenderRequest[],
  render: RecordedRender,
  file: string | undefined,
): Promise<Recording> {
  const kept = file === undefined ? undefined : await readRecording(file, render);
  if (kept !== undefined) return kept;
  if (file !== undefined) await prepareFile(file);
  const recording = { render, clips: await record(engine, clips, progress("recording")) };
  clearProgress();
  if (file !== undefined) await writeRecording(file, recording);
  return recording;
}

const columns: readonly Column<TriedCandidate>[] = [
  { title: "schedule", text: ({ name }) => name },
  { title: "FLOPs of none", align: "right", text: ({ flopsShare }) => share(flopsShare, 1) },
  { title: "PSNR, dB", align: "right", text: ({ psnrDb }) => psnrDb.toFixed(2) },
  { title: "computed", text: ({ policy }) => policy.options["compute"] ?? computedOf(policy) },
];

// Rules for every module are for the file.
const rulesColumnsMax = 60;

function computedOf({ options }: TriedCandidate["policy"]): string {
  const rules = options["refresh"] ?? "";
  return rules.length <= rulesColumnsMax ? rules : `${rules.split(";").length} rules`;
}

function summary(tried: readonly TriedCandidate[]): string {
  return `On the calibration clips, against none:\n${table(columns, tried)}`;
}

/** Draws over itself on a terminal; elsewhere nothing is said. */
function progress(what: string): (done: number, total: number) => void {
  return (done, total) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}: step ${done} of ${total}`);
  };
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}
