// The coordinator's command line.

import path from "node:path";
import { absoluteLocation } from "../artifacts/location.js";
import { type FlagTable, type FlagValues, parseFlags } from "../common/config.js";
import { FarmError } from "../common/errors.js";
import { defaultLogLevel, type LogLevel, logLevels } from "../common/log.js";

export const coordinatorFlags = {
  data: {
    type: "string",
    required: true,
    value: "DIR",
    help: "a folder of this coordinator alone",
  },
  listen: { type: "address", default: "127.0.0.1:0", help: "where to serve gRPC" },
  http: { type: "address", default: "127.0.0.1:0", help: "where to serve /metrics and health" },
  nats: { type: "string", value: "URL", help: "a NATS server to use instead of an own one" },
  artifacts: {
    type: "string",
    value: "DIR|S3",
    help: "artifact store, shared with the workers: a folder or s3:// [artifacts in --data]",
  },
  pool: { type: "string", value: "NAME", default: "default", help: "the pool to lead" },
  "lease-seconds": {
    type: "integer",
    min: 3,
    max: 3600,
    default: 10,
    help: "how long a worker may be silent before its clips go to others",
  },
  "log-level": {
    type: "choice",
    choices: logLevels,
    default: defaultLogLevel,
    env: "TOCAFARM_LOG",
    help: "least level that is logged",
  },
} as const satisfies FlagTable;

export interface CoordinatorConfig {
  /** Absolute. */
  readonly dataFolder: string;
  readonly listen: string;
  readonly http: string;
  /** Undefined = a server of its own. */
  readonly natsUrl: string | undefined;
  /** A location for openStore. */
  readonly artifacts: string;
  readonly pool: string;
  readonly leaseMs: number;
  readonly logLevel: LogLevel;
}

const poolPattern = /^[A-Za-z0-9_-]{1,64}$/;

/** Throws INVALID_ARGUMENT, naming the flag. */
export function coordinatorConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CoordinatorConfig {
  const flags: FlagValues<typeof coordinatorFlags> = parseFlags(coordinatorFlags, argv, env);
  if (flags.data === "") throw new FarmError("INVALID_ARGUMENT", "--data is empty; name a folder");
  if (!poolPattern.test(flags.pool)) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `--pool is ${JSON.stringify(flags.pool.slice(0, 80))}; up to 64 letters, digits, "_", "-"`,
    );
  }
  const dataFolder = path.resolve(flags.data);
  return {
    dataFolder,
    listen: flags.listen,
    http: flags.http,
    natsUrl: flags.nats,
    artifacts: absoluteLocation(flags.artifacts ?? path.join(dataFolder, "artifacts")),
    pool: flags.pool,
    leaseMs: flags["lease-seconds"] * 1000,
    logLevel: flags["log-level"],
  };
}
