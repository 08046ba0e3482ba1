// `tocafarm workers`, `drain`, `release` and `farm`: who renders, and the farm at a glance.
import type { Command } from "commander";
import type {
  GetFarmResponse,
  TenantShare,
  Worker,
  WorkerDevice,
} from "../../proto/gen/tocafarm/v1/farm.js";
import { addFarmOptions, type FarmAddressOptions } from "../coordinator-address.js";
import { printJson } from "../json-output.js";
import { bytes, type Column, seconds, share, table } from "../table.js";
import { withClient } from "../with-client.js";

interface CommonOptions extends FarmAddressOptions {
  readonly json?: true;
}

interface DrainOptions extends CommonOptions {
  readonly undo?: true;
}

export function addWorkers(program: Command): void {
  addFarmOptions(program.command("workers").description("list workers and their devices"))
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  tocafarm workers --json")
    .action((options: CommonOptions) =>
      withClient(options, async (client) => showWorkers(await client.workers(), options)),
    );
  addFarmOptions(
    program.command("drain").description("take a worker out, with what it has handed back"),
  )
    .argument("<worker>", "its id")
    .option("--undo", "let it work again")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  tocafarm drain node-7\n  tocafarm drain node-7 --undo")
    .action((id: string, options: DrainOptions) =>
      withClient(options, async (client) =>
        showWorkers([await client.drain(id, options.undo === true)], options),
      ),
    );
  addFarmOptions(program.command("release").description("let a quarantined device work again"))
    .argument("<worker>", "its id")
    .argument("<device>", "cpu or cuda:N")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  tocafarm release node-7 cuda:0")
    .action((id: string, device: string, options: CommonOptions) =>
      withClient(options, async (client) =>
        showWorkers([await client.release(id, device)], options),
      ),
    );
  addFarmOptions(program.command("farm").description("show backlog, tenants and leader"))
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  tocafarm farm")
    .action((options: CommonOptions) =>
      withClient(options, async (client) => {
        const farm = await client.farm();
        if (options.json) printJson({ farm });
        else process.stdout.write(`${farmText(farm)}\n`);
      }),
    );
}

interface DeviceRow {
  readonly worker: Worker;
  /** Undefined for a worker that nobody has heard of since the leader began. */
  readonly device: WorkerDevice | undefined;
}

const deviceColumns: readonly Column<DeviceRow>[] = [
  { title: "worker", text: ({ worker }) => worker.id },
  { title: "device", text: ({ device }) => device?.name ?? "-" },
  { title: "state", text: deviceState },
  { title: "attempt", text: ({ device }) => device?.attempt || "-" },
  {
    title: "memory",
    align: "right",
    text: ({ device }) => (device ? bytes(Number(device.memoryBytes)) : "-"),
  },
  { title: "models", text: ({ device }) => device?.models.join(" ") ?? "" },
  { title: "kind", text: ({ device }) => device?.kind ?? "" },
];

function deviceState({ worker, device }: DeviceRow): string {
  const state = worker.connected && device ? device.state : "away";
  return worker.draining ? `${state}, draining` : state;
}

function showWorkers(workers: readonly Worker[], { json }: CommonOptions): void {
  if (json) {
    printJson({ workers });
    return;
  }
  const rows = workers.flatMap((worker): readonly DeviceRow[] =>
    worker.devices.length > 0
      ? worker.devices.map((device) => ({ worker, device }))
      : [{ worker, device: undefined }],
  );
  process.stdout.write(`${table(deviceColumns, rows)}\n`);
}

function farmText(farm: GetFarmResponse): string {
  const { pool, term, leader, sequence, secondsToFinish, tenants } = farm;
  const end = secondsToFinish === undefined ? "" : `, done in ${seconds(secondsToFinish)}`;
  const lines = [
    `pool ${pool}, led by ${leader || "nobody known"} in term ${term}, log at ${sequence}`,
    `backlog: ${seconds(farm.backlogDeviceSeconds)} of one device${end}`,
  ];
  if (tenants.length > 0) lines.push("", table(tenantColumns(tenants), tenants));
  return lines.join("\n");
}

function tenantColumns(tenants: readonly TenantShare[]): readonly Column<TenantShare>[] {
  const used = tenants.reduce((sum, { deviceSecondsUsed }) => sum + deviceSecondsUsed, 0);
  const right = "right" as const;
  return [
    { title: "tenant", text: ({ tenant }) => tenant },
    { title: "weight", align: right, text: ({ weight }) => `${weight}` },
    { title: "running", align: right, text: ({ clipsRunning }) => `${clipsRunning}` },
    { title: "waiting", align: right, text: ({ clipsWaiting }) => `${clipsWaiting}` },
    { title: "backlog", align: right, text: (row) => seconds(row.backlogDeviceSeconds) },
    { title: "used", align: right, text: (row) => seconds(row.deviceSecondsUsed) },
    { title: "of all", align: right, text: (row) => share(row.deviceSecondsUsed, used) },
  ];
}
