// `tocafarm pause`, `resume`, `priority` and `move`: when a batch's clips get devices.
import { Argument, type Command } from "commander";
import type { Batch } from "../../proto/gen/tocafarm/v1/farm.js";
import { lowestTier, tierOption } from "../args.js";
import { stateWord } from "../batch-tracker.js";
import { addFarmOptions, type FarmAddressOptions } from "../coordinator-address.js";
import { printJson } from "../json-output.js";
import { withClient } from "../with-client.js";

interface CommonOptions extends FarmAddressOptions {
  readonly json?: true;
}

interface PauseOptions extends CommonOptions {
  readonly cut?: true;
}

const places = { first: "QUEUE_PLACE_FIRST", last: "QUEUE_PLACE_LAST" } as const;
type Place = keyof typeof places;

const batchArgument = new Argument("<batch>", "its id");

export function addQueue(program: Command): void {
  command(program, "pause", "begin no more clips of a batch")
    .option("--cut", "also hand back what runs, at the next refresh point")
    .addHelpText("after", examples("pause b04k2m9qx7r1t", "pause b04k2m9qx7r1t --cut"))
    .action((id: string, options: PauseOptions) =>
      withClient(options, async (client) =>
        told(await client.pause(id, options.cut === true), options),
      ),
    );
  command(program, "resume", "let a paused batch go on")
    .addHelpText("after", examples("resume b04k2m9qx7r1t"))
    .action((id: string, options: CommonOptions) =>
      withClient(options, async (client) => told(await client.resume(id), options)),
    );
  command(program, "priority", "put a batch into another tier")
    .addArgument(
      new Argument("<tier>", `0 (first) to ${lowestTier}`).argParser(tierOption("the tier")),
    )
    .addHelpText("after", examples("priority b04k2m9qx7r1t 0"))
    .action((id: string, tier: number, options: CommonOptions) =>
      withClient(options, async (client) => told(await client.setPriority(id, tier), options)),
    );
  command(program, "move", "put a batch before or behind its tenant's others")
    .addArgument(new Argument("<place>", "in its tier").choices(Object.keys(places)))
    .addHelpText("after", examples("move b04k2m9qx7r1t first"))
    .action((id: string, place: Place, options: CommonOptions) =>
      withClient(options, async (client) => told(await client.move(id, places[place]), options)),
    );
}

function command(program: Command, name: string, description: string): Command {
  return addFarmOptions(program.command(name).description(description))
    .addArgument(batchArgument)
    .option("--json", "print the batch as JSON");
}

function examples(...lines: readonly string[]): string {
  const title = lines.length > 1 ? "Examples" : "Example";
  return `\n${title}:\n${lines.map((line) => `  tocafarm ${line}`).join("\n")}`;
}

function told(batch: Batch, { json }: CommonOptions): void {
  if (json) printJson({ batch });
  else {
    const { id, state, priority } = batch;
    process.stdout.write(`batch ${id} is ${stateWord(state)}, in tier ${priority}\n`);
  }
}
