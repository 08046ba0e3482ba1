// A farm for the life of one command, on a data folder that is kept or only lent.
import path from "node:path";
import { defaultDataFolder } from "../common/paths.js";
import { prepareFolder } from "./clip-files.js";
import { LocalFarm } from "./local-farm.js";
import { withRenderFolder } from "./render-folders.js";

/** As the command line gives them. */
export interface OwnFarmOptions {
  readonly device?: readonly string[];
  readonly workers: number;
  readonly threads: number;
  readonly dtype?: "fp32" | "bf16";
  /** Absent: a folder for the time of the command. */
  readonly data?: string;
  readonly verbose?: true;
}

export interface OwnFarm {
  /** Path of the folder of the one model that it serves. */
  readonly model: string;
  readonly options: OwnFarmOptions;
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

/** Starts a farm, does the work and stops it; rejects also when one of its processes ends. */
export async function withOwnFarm(
  own: OwnFarm,
  work: (farm: LocalFarm) => Promise<void>,
): Promise<void> {
  await withDataFolder(own.options.data, (data) => withFarm(own, data, work));
}

async function withDataFolder(
  named: string | undefined,
  work: (data: string) => Promise<void>,
): Promise<void> {
  if (named !== undefined) {
    await prepareFolder(named);
    return work(path.resolve(named));
  }
  const root = defaultDataFolder(process.env);
  await prepareFolder(root);
  await withRenderFolder(root, work);
}

async function withFarm(
  { model, options, quiet, signal }: OwnFarm,
  data: string,
  work: (farm: LocalFarm) => Promise<void>,
): Promise<void> {
  const farm = new LocalFarm({
    data,
    models: [model],
    devices: options.device ?? [],
    cpuWorkers: options.workers,
    threads: options.threads,
    ...(options.dtype === undefined ? {} : { dtype: options.dtype }),
    logLevel: options.verbose ? "info" : "silent",
    showLog: options.verbose === true,
  });
  try {
    await farm.start(signal);
    if (!quiet) announceFarm(farm);
    await Promise.race([work(farm), farm.broken()]);
  } finally {
    await farm.stop();
  }
}

function announceFarm({ http, workers }: LocalFarm): void {
  const urls = [http, ...workers.map((worker) => worker.http)].map((at) => `http://${at}/metrics`);
  process.stderr.write(`metrics while it runs: ${urls.join(" ")}\n`);
}
