// `tocafarm ls`, `show` and `cancel`: what a running farm has, and ending it.
import { type Command, Option } from "commander";
import { numberOption } from "../args.js";
import { batchColumns, batchLines, clipLines } from "../batch-text.js";
import { stateWord } from "../batch-tracker.js";
import { addFarmOptions, type FarmAddressOptions } from "../coordinator-address.js";
import type { FarmClient } from "../farm-client.js";
import { printJson } from "../json-output.js";
import { clipTable } from "../report.js";
import { table } from "../table.js";
import { withClient } from "../with-client.js";

interface CommonOptions extends FarmAddressOptions {
  readonly json?: true;
}

interface ListOptions extends CommonOptions {
  readonly limit: number;
}

export function addBatches(program: Command): void {
  addFarmOptions(program.command("ls").description("list batches"))
    .addOption(
      new Option("--limit <n>", "at most this many batches")
        .argParser(numberOption("--limit", { min: 1, max: 100_000 }))
        .default(20),
    )
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  tocafarm ls\n  tocafarm ls --limit 5 --json")
    .action((options: ListOptions) => withClient(options, (client) => list(client, options)));
  addFarmOptions(program.command("show").description("show a batch and its clips"))
    .argument("<batch>", "its id")
    .option("--json", "print JSON, with prompts, artifacts and failures")
    .addHelpText("after", "\nExample:\n  tocafarm show b04k2m9qx7r1t --json")
    .action((id: string, options: CommonOptions) =>
      withClient(options, (client) => show(client, id, options)),
    );
  addFarmOptions(program.command("cancel").description("cancel a batch: its engines stop"))
    .argument("<batch>", "its id")
    .option("--json", "print the batch as JSON")
    .addHelpText("after", "\nExample:\n  tocafarm cancel b04k2m9qx7r1t")
    .action((id: string, options: CommonOptions) =>
      withClient(options, async (client) => {
        const batch = await client.cancel(id);
        if (options.json) printJson({ batch });
        else process.stdout.write(`batch ${batch.id} is ${stateWord(batch.state)}\n`);
      }),
    );
}

async function list(client: FarmClient, options: ListOptions): Promise<void> {
  const batches = await client.list(options.limit);
  if (options.json) printJson({ batches });
  else process.stdout.write(`${table(batchColumns, batches)}\n`);
}

async function show(client: FarmClient, id: string, options: CommonOptions): Promise<void> {
  const { batch, clips } = await client.get(id);
  if (options.json) {
    printJson({ batch, clips });
    return;
  }
  const lines = [
    table(batchColumns, [batch]),
    ...batchLines(batch),
    "",
    clipTable(clips),
    ...clips.flatMap((clip) => clipLines(clip, batch.spec?.policy?.name ?? "none")),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
