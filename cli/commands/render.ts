// `tocafarm render`: a whole farm for one batch. It starts coordinator and workers on a data folder
// of their own, submits, shows progress, brings the files and leaves nothing running.
import { randomUUID } from "node:crypto";
import path from "node:path";
import type { Command } from "commander";
import { counted } from "../../common/counted.js";
import { FarmError } from "../../common/errors.js";
import { type ModelFolder, readModelFolder } from "../../engine/model-folder.js";
import { checkPromptsFor, makePlan, type Plan } from "../../engine/plan.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import { requiredOption } from "../args.js";
import { memoryText } from "../batch-text.js";
import { prepareFile, prepareFolder } from "../clip-files.js";
import { FarmClient } from "../farm-client.js";
import { deviceOption, threadsOption, workersOption } from "../farm-options.js";
import { checkReadable, readInChunks } from "../file-chunks.js";
import { type FetchOptions, followBatch } from "../follow-batch.js";
import { interruptible } from "../interrupt.js";
import { printJson } from "../json-output.js";
import type { LocalFarm } from "../local-farm.js";
import { withOwnFarm } from "../own-farm.js";
import { policyText } from "../policy-text.js";
import {
  addSpecOptions,
  planRequest,
  promptsOf,
  renderSpec,
  type SpecOptions,
} from "../render-spec.js";
import { failureOf, reportBatch } from "../report.js";
import { frameCount } from "../table.js";

interface RenderOptions extends SpecOptions {
  readonly model?: string;
  readonly output: string;
  readonly sampleName: string;
  readonly device?: readonly string[];
  readonly workers: number;
  readonly threads: number;
  readonly initialLatent?: string;
  readonly saveLatent?: string;
  readonly trace?: string;
  readonly traceIndices?: true;
  readonly saveFrames?: string;
  readonly data?: string;
  readonly json?: true;
  readonly verbose?: true;
}

const examples = `
Examples:
  tocafarm render --model models/demo --prompt "a red circle moves right on a white background"
  tocafarm render --model models/demo --prompts models/demo/prompts.txt --workers 2 --policy toca
  tocafarm render --model models/demo --prompt "a blue star spins" --policy toca \\
      --policy-option interval=4 --trace trace.jsonl --seed 7`;

export function addRender(program: Command): void {
  const command = program
    .command("render")
    .description("render prompts with a farm of its own")
    .option("--model <dir>", "a model folder (required)");
  addSpecOptions(command)
    .option("--output <dir>", "where the files go", "renders")
    .option("--sample-name <name>", "files are <name>_0000.mp4 and so on", "sample")
    .addOption(deviceOption())
    .addOption(workersOption())
    .addOption(threadsOption())
    .option("--initial-latent <file>", "begin from this latent (safetensors)")
    .option("--save-latent <file>", "keep the final latent (safetensors)")
    .option("--trace <file>", "JSON lines of what every module did in every step")
    .option("--trace-indices", "with the indices of the computed tokens")
    .option("--save-frames <file>", "keep a video's frames without loss (FFV1 in Matroska)")
    .option("--data <dir>", "keep log and artifacts here [a temporary folder]")
    .option("--json", "print the outcome as JSON")
    .option("--verbose", "show the log of all processes")
    .addHelpText("after", examples)
    .action((options: RenderOptions) => interruptible((signal) => render(options, signal)));
}

/** What is rendered, once all options are read. */
interface Job {
  readonly options: RenderOptions;
  readonly model: ModelFolder;
  readonly spec: RenderSpec;
  readonly prompts: readonly string[];
  readonly signal: AbortSignal;
  /** What was told already. */
  readonly warned: Set<string>;
}

async function render(options: RenderOptions, signal: AbortSignal): Promise<void> {
  const job = await readJob(options, signal);
  const { model, spec, prompts } = job;
  // The same plan that the coordinator and the engine will make: what is wrong is told at once.
  checkPromptsFor(model.configs, prompts);
  const plan = makePlan(model.configs, planRequest(spec), options.dtype ?? "fp32");
  if (!options.json) announce(job, plan);
  const undo = await prepareOutputs(options);
  try {
    const own = { model: model.path, options, quiet: options.json === true, signal };
    await withOwnFarm(own, (farm) => renderBatch(job, farm));
  } finally {
    await undo();
  }
}

/**
 * Every folder that will be written to, checked before an hour is rendered; resolves to the
 * undoing.
 */
async function prepareOutputs(options: RenderOptions): Promise<() => Promise<void>> {
  const { output, saveLatent, trace, saveFrames, initialLatent } = options;
  if (initialLatent !== undefined) await checkReadable(initialLatent);
  const files = [saveLatent, trace, saveFrames].filter((file) => file !== undefined);
  const prepared: Awaited<ReturnType<typeof prepareFolder>>[] = [];
  const undo = async (): Promise<void> => {
    for (const folder of prepared.splice(0).reverse()) await folder.undo();
  };
  try {
    prepared.push(await prepareFolder(output));
    for (const file of files) prepared.push(await prepareFile(file));
  } catch (thrown) {
    await undo();
    throw thrown;
  }
  return undo;
}

async function readJob(options: RenderOptions, signal: AbortSignal): Promise<Job> {
  if (options.traceIndices && options.trace === undefined) {
    throw new FarmError("INVALID_ARGUMENT", "--trace-indices needs --trace FILE");
  }
  const model = await readModelFolder(requiredOption(options.model, "--model DIR"));
  const prompts = await promptsOf(options);
  const spec = withDebugOutputs(renderSpec(options, model), options);
  return { options, model, spec, prompts, signal, warned: new Set() };
}

function withDebugOutputs(spec: RenderSpec, options: RenderOptions): RenderSpec {
  if (options.saveFrames !== undefined && spec.frames === 1) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      "--save-frames is for videos: an image is a PNG, which has every bit already",
    );
  }
  const detail = options.traceIndices ? "TRACE_DETAIL_INDICES" : "TRACE_DETAIL_MODULES";
  return {
    ...spec,
    saveLatent: options.saveLatent !== undefined,
    saveFrames: options.saveFrames !== undefined,
    trace: options.trace === undefined ? "TRACE_DETAIL_UNSPECIFIED" : detail,
  };
}

function announce(job: Job, plan: Plan): void {
  const { spec } = job;
  const count = job.prompts.length;
  const clips = counted(count, "clip");
  const size = `${plan.outputHeight}x${plan.outputWidth}`;
  process.stderr.write(
    `${clips}: ${frameCount(spec.frames)} of ${size}, ` +
      `${counted(spec.steps, "step")}, guidance ${spec.guidance}, seed ${spec.seed}, ` +
      `policy ${policyText(spec.policy, plan.policy)}; ` +
      `${(plan.flopsNone / plan.flops).toFixed(2)}x fewer FLOPs than none, ` +
      `needs ${memoryText(plan)}\n`,
  );
  warn(job, plan.warnings);
}

/** Each once: the farm knows more than the plan, such as the digest of the weights. */
function warn({ warned }: Job, warnings: readonly string[]): void {
  for (const warning of warnings) {
    if (!warned.has(warning)) process.stderr.write(`warning: ${warning}\n`);
    warned.add(warning);
  }
}

async function renderBatch(job: Job, farm: LocalFarm): Promise<void> {
  const { options, model, spec, prompts, signal } = job;
  const client = new FarmClient(farm.grpc);
  try {
    const initialLatentKey = await uploadLatent(client, options.initialLatent);
    const batch = await client.submit({
      idempotencyKey: randomUUID(),
      name: path.basename(path.resolve(options.output)),
      spec: { ...spec, initialLatentKey },
      prompts: [...prompts],
      tenant: "",
      priority: 2,
      preview: undefined,
      deadline: undefined,
    });
    if (!options.json) warn(job, batch.warnings);
    const files: FetchOptions = {
      folder: options.output,
      sampleName: options.sampleName,
      ...(options.saveLatent === undefined ? {} : { latentFile: options.saveLatent }),
      ...(options.trace === undefined ? {} : { traceFile: options.trace }),
      ...(options.saveFrames === undefined ? {} : { framesFile: options.saveFrames }),
    };
    const outcome = await followBatch({
      client,
      batch,
      files,
      quiet: options.json === true,
      cancelOnAbort: true,
      signal,
    });
    const report = await reportBatch(outcome, options.output);
    if (options.json) printJson(report.json);
    else process.stdout.write(`${report.text}\n${nextLine(model)}\n`);
    const failure = failureOf(outcome.tracker);
    if (failure) throw failure;
  } finally {
    client.close();
  }
}

async function uploadLatent(client: FarmClient, file: string | undefined): Promise<string> {
  return file === undefined ? "" : client.upload(readInChunks(file));
}

function nextLine(model: ModelFolder): string {
  const folder = path.relative("", model.path);
  return (
    `next: "npx tocafarm up --model ${folder}" keeps a farm running and says where its metrics ` +
    'are; "npx tocafarm submit" gives it work'
  );
}
