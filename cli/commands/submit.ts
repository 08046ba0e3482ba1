// `tocafarm submit`: gives a batch to a running farm.
import { randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";
import { type Command, Option } from "commander";
import { steadyWallClock } from "../../common/clock.js";
import { readModelFolder } from "../../engine/model-folder.js";
import { requestBounds } from "../../engine/plan.js";
import type { PreviewSpec } from "../../proto/gen/tocafarm/v1/farm.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import {
  numberOption,
  type PolicyOptions,
  policyOption,
  requiredOption,
  tierOption,
} from "../args.js";
import { clipCost } from "../batch-text.js";
import { addFarmOptions, type FarmAddressOptions } from "../coordinator-address.js";
import { interruptible } from "../interrupt.js";
import { printJson } from "../json-output.js";
import { policyOf } from "../policy-file.js";
import { policyText } from "../policy-text.js";
import {
  addSpecOptions,
  type NamedModel,
  promptsOf,
  renderSpec,
  type SpecOptions,
  withCacheDtype,
} from "../render-spec.js";
import { deadlineOf } from "../time-option.js";
import { withClient } from "../with-client.js";
import { watchToEnd } from "./watch.js";

interface SubmitOptions extends SpecOptions, FarmAddressOptions {
  readonly model?: string;
  readonly name: string;
  readonly tenant: string;
  readonly priority: number;
  readonly deadline?: string;
  readonly previewSteps?: number;
  readonly previewPolicy?: string;
  readonly previewPolicyOption?: PolicyOptions;
  readonly key?: string;
  readonly watch?: true;
  readonly json?: true;
}

const examples = `
Examples:
  tocafarm submit --model models/demo --prompt "a red circle moves right" --watch
  tocafarm submit --model demo --prompts shots.txt --frames 17 --image-size 128x128 --policy toca
  tocafarm submit --model demo --prompts shots.txt --key shots-v3   (safe to repeat)
  tocafarm submit --model demo --prompts shots.txt --preview-steps 8 --preview-policy toca
  tocafarm submit --model demo --prompts shots.txt --tenant trailers --priority 1 --deadline 2h`;

export function addSubmit(program: Command): void {
  const command = program
    .command("submit")
    .description("give prompts to a running farm as one batch")
    .option("--model <name>", "one that workers have, or its folder for its defaults (required)");
  addFarmOptions(addSpecOptions(command))
    .option("--name <text>", "of the batch, for people", "")
    .option("--tenant <name>", "whose share it counts to", "default")
    .addOption(
      new Option("--priority <tier>", "0 (first) to 4")
        .argParser(tierOption("--priority"))
        .default(2),
    )
    .option("--deadline <time>", "ISO time, or a while such as 2h: earlier ones go first")
    .addOption(
      new Option(
        "--preview-steps <n>",
        "render a preview first; the final one is yours to approve",
      ).argParser(numberOption("--preview-steps", { min: 1, max: requestBounds.stepsMax })),
    )
    .option("--preview-policy <name>", "caching policy of the preview [--policy]")
    .addOption(
      new Option("--preview-policy-option <k=v>", "as --policy-option; may be repeated").argParser(
        policyOption("--preview-policy-option"),
      ),
    )
    .option("--key <text>", "idempotency key: the same key never makes a second batch")
    .option("--watch", "follow it to its end")
    .option("--json", "print the batch as JSON")
    .addHelpText("after", examples)
    .action((options: SubmitOptions) => interruptible((signal) => submit(options, signal)));
}

async function submit(options: SubmitOptions, signal: AbortSignal): Promise<void> {
  const prompts = await promptsOf(options);
  const spec = renderSpec(options, await namedModel(requiredOption(options.model, "--model NAME")));
  const { name, tenant, priority, deadline } = options;
  const nowMs = steadyWallClock(0).now();
  const request = {
    idempotencyKey: options.key ?? randomUUID(),
    name,
    spec,
    prompts: [...prompts],
    tenant,
    priority,
    preview: previewSpec(options, spec),
    deadline: deadline === undefined ? undefined : deadlineOf(deadline, nowMs),
  };
  await withClient(options, async (client) => {
    const batch = await client.submit(request, signal);
    if (options.watch) {
      await watchToEnd({ client, batch, signal, json: options.json === true });
    } else if (options.json) {
      printJson({ batch });
    } else {
      process.stderr.write(`policy ${policyText(batch.spec?.policy)}: ${clipCost(batch)}\n`);
      for (const warning of batch.warnings) process.stderr.write(`warning: ${warning}\n`);
      process.stdout.write(`${batch.id}\n`);
    }
  });
}

/** What is not said of the preview is as in the final render. */
function previewSpec(options: SubmitOptions, spec: RenderSpec): PreviewSpec | undefined {
  const { previewSteps, previewPolicy, previewPolicyOption } = options;
  const isAsked = [previewSteps, previewPolicy, previewPolicyOption].some(
    (option) => option !== undefined,
  );
  if (!isAsked) return undefined;
  const steps = previewSteps ?? spec.steps;
  const given = withCacheDtype(previewPolicyOption, options.cacheDtype);
  if (previewPolicy !== undefined) return { steps, policy: policyOf(previewPolicy, given) };
  if (previewPolicyOption === undefined || spec.policy === undefined) {
    return { steps, policy: spec.policy };
  }
  return { steps, policy: { ...spec.policy, options: { ...given } } };
}

/** A folder brings its defaults; a bare name is one that only the workers need to know. */
async function namedModel(model: string): Promise<NamedModel> {
  const found = await stat(model).catch(() => null);
  return found?.isDirectory() ? readModelFolder(model) : { name: model, defaults: {} };
}
