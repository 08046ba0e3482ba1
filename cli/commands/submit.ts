// `tocafarm submit`: gives a batch to a running farm.
import { randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";
import { type Command, Option } from "commander";
import { type ModelDefaults, readModelFolder } from "../../engine/model-folder.js";
import { numberOption, requiredOption } from "../args.js";
import {
  addFarmOptions,
  type FarmAddressOptions,
  findCoordinator,
} from "../coordinator-address.js";
import { FarmClient } from "../farm-client.js";
import { interruptible } from "../interrupt.js";
import { printJson } from "../json-output.js";
import { addSpecOptions, promptsOf, renderSpec, type SpecOptions } from "../render-spec.js";
import { watchToEnd } from "./watch.js";

interface SubmitOptions extends SpecOptions, FarmAddressOptions {
  readonly model?: string;
  readonly name: string;
  readonly tenant: string;
  readonly priority: number;
  readonly key?: string;
  readonly watch?: true;
  readonly json?: true;
}

const lowestTier = 4;

const examples = `
Examples:
  tocafarm submit --model models/demo --prompt "a red circle moves right" --watch
  tocafarm submit --model demo --prompts shots.txt --frames 17 --image-size 128x128 --policy toca
  tocafarm submit --model demo --prompts shots.txt --key shots-v3   (safe to repeat)`;

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
        .argParser(numberOption("--priority", { min: 0, max: lowestTier }))
        .default(2),
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
  const client = new FarmClient(findCoordinator(options, process.env));
  try {
    const { name, tenant, priority } = options;
    const idempotencyKey = options.key ?? randomUUID();
    const batch = await client.submit(
      {
        idempotencyKey,
        name,
        spec,
        prompts: [...prompts],
        tenant,
        priority,
        preview: undefined,
        deadline: undefined,
      },
      signal,
    );
    if (options.watch) {
      await watchToEnd({ client, batch, signal, json: options.json === true });
    } else if (options.json) {
      printJson({ batch });
    } else {
      for (const warning of batch.warnings) process.stderr.write(`warning: ${warning}\n`);
      process.stdout.write(`${batch.id}\n`);
    }
  } finally {
    client.close();
  }
}

/** A folder brings its defaults; a bare name is one that only the workers need to know. */
async function namedModel(model: string): Promise<{ name: string; defaults: ModelDefaults }> {
  const found = await stat(model).catch(() => null);
  return found?.isDirectory() ? readModelFolder(model) : { name: model, defaults: {} };
}
