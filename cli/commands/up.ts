// `tocafarm up`: a farm on this machine that stays until it is stopped.
import { type Command, Option } from "commander";
import { counted } from "../../common/counted.js";
import { logLevels } from "../../common/log.js";
import { defaultDataFolder } from "../../common/paths.js";
import { repeated, requiredOption } from "../args.js";
import { prepareFolder } from "../clip-files.js";
import { deviceOption, threadsOption, workersOption } from "../farm-options.js";
import { interrupted, interruptible } from "../interrupt.js";
import { LocalFarm } from "../local-farm.js";
import { table } from "../table.js";

interface UpOptions {
  readonly model?: readonly string[];
  readonly device?: readonly string[];
  readonly workers: number;
  readonly threads: number;
  readonly dtype?: string;
  readonly listen?: string;
  readonly http?: string;
  readonly rules?: string;
  readonly data?: string;
  readonly logLevel: string;
}

const examples = `
Examples:
  tocafarm up --model models/demo
  tocafarm up --model models/demo --workers 2 --listen 127.0.0.1:7433 --http 127.0.0.1:9464
Then, in another terminal:
  tocafarm submit --model models/demo --prompt "a red circle moves right" --watch`;

export function addUp(program: Command): void {
  program
    .command("up")
    .description("run a farm on this machine until Ctrl-C")
    .addOption(
      new Option("--model <dir>", "a model folder (required); may be repeated").argParser(repeated),
    )
    .addOption(deviceOption())
    .addOption(workersOption())
    .addOption(threadsOption())
    .addOption(
      new Option("--dtype <type>", "precision of the engines [fp32]").choices(["fp32", "bf16"]),
    )
    .option("--listen <host:port>", "the coordinator's gRPC address [127.0.0.1, any port]")
    .option("--http <host:port>", "the coordinator's HTTP address [127.0.0.1, any port]")
    .option("--rules <file>", "JSON: what each tenant may have, retries, preemption")
    .option("--data <dir>", "log and artifacts [TOCAFARM_DATA, or ~/.local/share/tocafarm]")
    .addOption(
      new Option("--log-level <level>", "of all processes, on stderr")
        .choices(logLevels)
        .default("warn"),
    )
    .addHelpText("after", examples)
    .action((options: UpOptions) => interruptible((signal) => up(options, signal)));
}

async function up(options: UpOptions, signal: AbortSignal): Promise<void> {
  const { model, device, workers, threads, dtype, listen, http, rules, logLevel } = options;
  const data = options.data ?? defaultDataFolder(process.env);
  const folder = await prepareFolder(data);
  const farm = new LocalFarm({
    data,
    models: requiredOption(model, "--model DIR"),
    devices: device ?? [],
    cpuWorkers: workers,
    threads,
    ...(dtype === undefined ? {} : { dtype }),
    ...(listen === undefined ? {} : { listen }),
    ...(http === undefined ? {} : { http }),
    ...(rules === undefined ? {} : { rules }),
    logLevel,
    showLog: true,
  });
  try {
    await farm.start(signal);
    process.stdout.write(`${describe(farm)}\ndata: ${data}\nCtrl-C stops the farm.\n`);
    await Promise.race([interrupted(signal), farm.broken()]);
  } finally {
    await farm.stop();
    await folder.undo(); // nothing was kept where nothing was started
  }
}

function describe({ grpc, http, workers }: LocalFarm): string {
  const rows = [
    { name: "coordinator", what: `gRPC ${grpc}`, url: `http://${http}/metrics` },
    ...workers.map((worker) => ({
      name: worker.id,
      what: `${worker.devices.join(" ")}, ${counted(worker.threads, "thread")}`,
      url: `http://${worker.http}/metrics`,
    })),
  ];
  return table(
    [
      { title: "process", text: (row) => row.name },
      { title: "serves", text: (row) => row.what },
      { title: "metrics", text: (row) => row.url },
    ],
    rows,
  );
}
