// `tocafarm ls`, `show` and `cancel`: what a running farm has, and ending it.
import { type Command, Option } from "commander";
import type { Batch, Worker, WorkerDevice } from "../../proto/gen/tocafarm/v1/farm.js";
import { numberOption } from "../args.js";
import { stateWord } from "../batch-tracker.js";
import {
  addFarmOptions,
  type FarmAddressOptions,
  findCoordinator,
} from "../coordinator-address.js";
import { FarmClient } from "../farm-client.js";
import { printJson } from "../json-output.js";
import { clipTable } from "../report.js";
import { bytes, type Column, flops, shortened, table } from "../table.js";

interface CommonOptions extends FarmAddressOptions {
  readonly json?: true;
}

interface ListOptions extends CommonOptions {
  readonly workers?: true;
  readonly limit: number;
}

export function addBatches(program: Command): void {
  addFarmOptions(program.command("ls").description("list batches, or workers"))
    .option("--workers", "list workers and their devices instead")
    .addOption(
      new Option("--limit <n>", "at most this many batches")
        .argParser(numberOption("--limit", { min: 1, max: 100_000 }))
        .default(20),
    )
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  tocafarm ls\n  tocafarm ls --workers --json")
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
    .addHelpText("after", "\nExample:\n  tocafarm cancel b04k2m9qx7r1t")
    .action((id: string, options: FarmAddressOptions) =>
      withClient(options, async (client) => {
        const batch = await client.cancel(id);
        process.stdout.write(`batch ${batch.id} is ${stateWord(batch.state)}\n`);
      }),
    );
}

async function withClient(
  options: FarmAddressOptions,
  work: (client: FarmClient) => Promise<void>,
): Promise<void> {
  const client = new FarmClient(findCoordinator(options, process.env));
  try {
    await work(client);
  } finally {
    client.close();
  }
}

const nameColumnsMax = 30;

const batchColumns: readonly Column<Batch>[] = [
  { title: "batch", text: ({ id }) => id },
  { title: "name", text: ({ name }) => shortened(name, nameColumnsMax) },
  { title: "state", text: ({ state }) => stateWord(state) },
  {
    title: "clips",
    align: "right",
    text: ({ clipsPublished, clipsTotal }) => `${clipsPublished}/${clipsTotal}`,
  },
  { title: "failed", align: "right", text: ({ clipsFailed }) => `${clipsFailed}` },
  { title: "model", text: ({ spec }) => spec?.model ?? "" },
  { title: "policy", text: ({ spec }) => spec?.policy?.name ?? "" },
  { title: "submitted", text: ({ submittedAt }) => submittedAt?.toISOString() ?? "" },
];

interface DeviceRow {
  readonly worker: Worker;
  readonly device: WorkerDevice;
}

const deviceColumns: readonly Column<DeviceRow>[] = [
  { title: "worker", text: ({ worker }) => worker.id },
  { title: "device", text: ({ device }) => device.name },
  { title: "state", text: ({ worker, device }) => (worker.connected ? device.state : "away") },
  { title: "attempt", text: ({ device }) => device.attempt || "-" },
  { title: "memory", align: "right", text: ({ device }) => bytes(Number(device.memoryBytes)) },
  { title: "models", text: ({ device }) => device.models.join(" ") },
  { title: "kind", text: ({ device }) => device.kind },
];

async function list(client: FarmClient, options: ListOptions): Promise<void> {
  if (options.workers) {
    const workers = await client.workers();
    const rows = workers.flatMap((worker) => worker.devices.map((device) => ({ worker, device })));
    if (options.json) printJson({ workers });
    else process.stdout.write(`${table(deviceColumns, rows)}\n`);
    return;
  }
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
  const { spec } = batch;
  const failures = clips
    .filter((clip) => clip.failure !== undefined)
    .map(({ id: clip, state, failure }) => {
      const after = state === "CLIP_STATE_PUBLISHED" ? " published after a failed attempt:" : "";
      return `${clip}:${after} ${failure?.code}: ${failure?.message}`;
    });
  const lines = [
    table(batchColumns, [batch]),
    `${spec?.frames} frames of ${spec?.height}x${spec?.width}, ${spec?.steps} steps, ` +
      `guidance ${spec?.guidance}, seed ${spec?.seed}; a clip takes ${flops(batch.flopsPerClip)} ` +
      `instead of ${flops(batch.flopsNonePerClip)}, and ${bytes(Number(batch.peakBytes))}`,
    ...batch.warnings.map((warning) => `warning: ${warning}`),
    "",
    clipTable(clips),
    ...failures,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
