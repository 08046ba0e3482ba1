// `tocafarm watch`: follows a batch to its end, and can bring its files.
import type { Command } from "commander";
import type { Batch } from "../../proto/gen/tocafarm/v1/farm.js";
import { prepareFolder } from "../clip-files.js";
import { addFarmOptions, type FarmAddressOptions } from "../coordinator-address.js";
import type { FarmClient } from "../farm-client.js";
import { followBatch } from "../follow-batch.js";
import { interruptible } from "../interrupt.js";
import { printJson } from "../json-output.js";
import { failureOf, reportBatch } from "../report.js";
import { withClient } from "../with-client.js";

interface WatchOptions extends FarmAddressOptions {
  readonly output?: string;
  readonly sampleName: string;
  readonly json?: true;
}

const examples = `
Examples:
  tocafarm watch b04k2m9qx7r1t
  tocafarm watch b04k2m9qx7r1t --output renders/shots   (also brings the files)`;

export function addWatch(program: Command): void {
  const command = program
    .command("watch")
    .description("follow a batch to its end")
    .argument("<batch>", "its id");
  addFarmOptions(command)
    .option("--output <dir>", "bring each clip's files as it is published")
    .option("--sample-name <name>", "files are <name>_0000.mp4 and so on", "sample")
    .option("--json", "print the outcome as JSON")
    .addHelpText("after", examples)
    .action((id: string, options: WatchOptions) =>
      interruptible((signal) => watch(id, options, signal)),
    );
}

async function watch(id: string, options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { output, sampleName } = options;
  await withClient(options, async (client) => {
    const { batch } = await client.get(id, signal);
    const json = options.json === true;
    const files = output === undefined ? {} : { files: { folder: output, sampleName } };
    const folder = output === undefined ? null : await prepareFolder(output);
    try {
      await watchToEnd({ client, batch, signal, json, ...files });
    } finally {
      await folder?.undo();
    }
  });
}

export interface WatchToEndOptions {
  readonly client: FarmClient;
  readonly batch: Batch;
  readonly files?: { readonly folder: string; readonly sampleName: string };
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** Follows, reports, and throws what made the batch fail. */
export async function watchToEnd(options: WatchToEndOptions): Promise<void> {
  const { client, batch, files, json, signal } = options;
  const outcome = await followBatch({
    client,
    batch,
    ...(files === undefined ? {} : { files }),
    quiet: json,
    cancelOnAbort: false,
    signal,
  });
  const report = await reportBatch(outcome, files?.folder ?? "");
  if (json) printJson(report.json);
  else process.stdout.write(`${report.text}\n`);
  const failure = failureOf(outcome.tracker);
  if (failure) throw failure;
}
