// `tocafarm estimate`: what a render would cost, from a model's config files alone. The figures are
// the plan's, which the engine executes and the coordinator stores.
import { Command, Option } from "commander";
import { requestBounds, textTokensUsual } from "../../engine/plan.js";
import { numberOption, requiredOption } from "../args.js";
import { type Estimate, estimate, estimateJson, estimateText } from "../estimate.js";
import { printJson } from "../json-output.js";
import { namedModelTexts } from "../known-models.js";
import { addPlanOptions, planRequest, renderSpec, type SpecOptions } from "../render-spec.js";

export interface EstimateOptions extends SpecOptions {
  readonly model?: string;
  readonly textTokens: number;
  readonly json?: true;
}

const examples = `
Examples:
  tocafarm estimate --model open-sora-v1.2 --resolution 480p --policy toca
  tocafarm estimate --model pixart-alpha-256 --policy toca --policy-option fidelity=upstream
  tocafarm estimate --model models/demo --policy fora --policy-option interval=3 --json`;

export function addEstimate(program: Command): void {
  const command = estimateCommand().addHelpText("after", examples);
  program.addCommand(command.copyInheritedSettings(program).action(print));
}

/** The command with its options, that nothing is done for yet. */
export function estimateCommand(): Command {
  const command = new Command("estimate")
    .description("say what a render would compute and need")
    .option("--model <name>", "a known model, or a folder with config files (required)");
  return addPlanOptions(command)
    .addOption(
      new Option("--text-tokens <n>", "of a prompt, in the count of FLOPs")
        .argParser(numberOption("--text-tokens", { min: 1, max: requestBounds.textTokensMax }))
        .default(textTokensUsual),
    )
    .option("--json", "print all figures as JSON");
}

/** Throws what the options and the engine's plan throw. */
export async function estimateOf(options: EstimateOptions): Promise<Estimate> {
  const model = await namedModelTexts(requiredOption(options.model, "--model NAME"));
  const { textTokens } = options;
  const request = { ...planRequest(renderSpec(options, model)), textTokens };
  return estimate(model, request, options.dtype ?? "fp32");
}

async function print(options: EstimateOptions): Promise<void> {
  const estimated = await estimateOf(options);
  if (options.json) {
    printJson(estimateJson(estimated));
    return;
  }
  process.stdout.write(`${estimateText(estimated)}\n`);
  for (const warning of estimated.warnings) process.stderr.write(`warning: ${warning}\n`);
}
