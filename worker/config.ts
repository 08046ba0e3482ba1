// The worker's command line.
import { hostname } from "node:os";
import { join } from "node:path";
import { absoluteLocation } from "../artifacts/location.js";
import { type FlagTable, type FlagValues, parseAddress, parseFlags } from "../common/config.js";
import { FarmError } from "../common/errors.js";
import { defaultLogLevel, logLevels } from "../common/log.js";
import { defaultDataFolder } from "../common/paths.js";
import { cacheVariable, defaultCacheGib, engineCache } from "../engine/cache.js";
import { checkDevice, type EngineCache } from "../engine/engine.js";
import type { Dtype } from "../engine/plan.js";

export const workerFlags = {
  coordinator: {
    type: "string",
    value: "HOST:PORT,...",
    required: true,
    env: "TOCAFARM_COORDINATOR",
    help: "where the gRPC services of the coordinators are, or of some of them",
  },
  model: { type: "strings", value: "DIR", help: "a model folder to render with; may be repeated" },
  data: { type: "string", required: true, value: "DIR", help: "a folder of this worker alone" },
  device: { type: "strings", value: "cpu|cuda:N", help: "a device to use, may be repeated [cpu]" },
  threads: {
    type: "integer",
    min: 0,
    max: 1024,
    default: 0,
    help: "threads of each engine on the CPU, 0 = all cores",
  },
  dtype: { type: "choice", choices: ["fp32", "bf16"], default: "fp32", help: "of the engine" },
  cache: {
    type: "string",
    value: "DIR|off",
    env: cacheVariable,
    help: "packed weights and encoded prompts, for all engines of a user [~/.cache/tocafarm]",
  },
  "cache-gib": {
    type: "integer",
    min: 1,
    max: 1_000_000,
    default: defaultCacheGib,
    help: "of packed weights are kept, the least recently used go first",
  },
  artifacts: {
    type: "string",
    value: "DIR|S3",
    help: "the coordinator's artifact store [artifacts in the default data folder]",
  },
  http: { type: "address", default: "127.0.0.1:0", help: "where to serve /metrics" },
  id: { type: "string", value: "NAME", help: "unique in the farm [host name and data folder]" },
  "checkpoint-seconds": {
    type: "integer",
    min: 0,
    max: 86_400,
    default: 10,
    help: "at least so long between two checkpoints of a clip, 0 = at each refresh point",
  },
  "grace-seconds": {
    type: "integer",
    min: 0,
    max: 86_400,
    default: 30,
    help: "how long running clips may go on after SIGTERM",
  },
  "log-level": {
    type: "choice",
    choices: logLevels,
    default: defaultLogLevel,
    env: "TOCAFARM_LOG",
    help: "least level that is logged",
  },
} as const satisfies FlagTable;

export interface WorkerConfig {
  /** HOST:PORT of each, one at least. */
  readonly coordinators: readonly string[];
  readonly modelFolders: readonly string[];
  readonly dataFolder: string;
  readonly devices: readonly string[];
  readonly threads: number;
  readonly dtype: Dtype;
  /** null = nothing is kept. */
  readonly cache: EngineCache | null;
  /** A location for openStore. */
  readonly artifacts: string;
  readonly http: string;
  /** Undefined = made from host name and data folder. */
  readonly id: string | undefined;
  /** 0 = at each refresh point. */
  readonly checkpointPeriodSeconds: number;
  readonly graceMs: number;
  readonly logLevel: (typeof logLevels)[number];
}

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** Throws INVALID_ARGUMENT, naming the flag. */
export function workerConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): WorkerConfig {
  const flags = parseFlags(workerFlags, argv, env);
  if (flags.model.length === 0) {
    throw new FarmError("INVALID_ARGUMENT", "--model is required: give a model folder");
  }
  if (flags.id !== undefined && !idPattern.test(flags.id)) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `--id is ${JSON.stringify(flags.id)}; up to 100 letters, digits, ".", "_", "-" are allowed`,
    );
  }
  return {
    coordinators: coordinatorsOf(flags.coordinator),
    modelFolders: flags.model,
    dataFolder: flags.data,
    devices: devicesOf(flags),
    threads: flags.threads,
    dtype: flags.dtype,
    cache: engineCache(flags.cache, env, flags["cache-gib"]),
    artifacts: absoluteLocation(flags.artifacts ?? join(defaultDataFolder(env), "artifacts")),
    http: flags.http,
    id: flags.id,
    checkpointPeriodSeconds: flags["checkpoint-seconds"],
    graceMs: flags["grace-seconds"] * 1000,
    logLevel: flags["log-level"],
  };
}

/** A name that is stable over restarts on the same data folder. */
export function defaultWorkerId(token: string): string {
  const host = hostname()
    .replaceAll(/[^A-Za-z0-9._-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "");
  return `${host.slice(0, 80) || "worker"}-${token}`;
}

function coordinatorsOf(text: string): readonly string[] {
  const addresses = [...new Set(text.split(",").map((address) => address.trim()))];
  for (const address of addresses) parseAddress(address);
  return addresses;
}

function devicesOf({ device }: FlagValues<typeof workerFlags>): readonly string[] {
  const devices = device.length === 0 ? ["cpu"] : device;
  for (const name of devices) checkDevice(name);
  const twice = devices.find((name, index) => devices.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new FarmError("INVALID_ARGUMENT", `--device ${twice} is given twice; give it once`);
  }
  return devices;
}
