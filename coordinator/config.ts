// The coordinator's command line, and the file of rules that it may name.

import path from "node:path";
import { absoluteLocation } from "../artifacts/location.js";
import { type FlagTable, type FlagValues, parseAddress, parseFlags } from "../common/config.js";
import { FarmError } from "../common/errors.js";
import { defaultLogLevel, type LogLevel, logLevels } from "../common/log.js";
import { defaultRules, type Rules } from "./core/rules.js";
import { readRules } from "./rules-file.js";
import type { SnapshotLimits } from "./snapshots.js";

export const coordinatorFlags = {
  data: {
    type: "string",
    required: true,
    value: "DIR",
    help: "a folder of this coordinator alone",
  },
  listen: { type: "address", default: "127.0.0.1:0", help: "where to serve gRPC" },
  http: { type: "address", default: "127.0.0.1:0", help: "where to serve /metrics and health" },
  advertise: {
    type: "address",
    help: "where other coordinators and workers reach its gRPC [--listen]",
  },
  nats: {
    type: "string",
    value: "URL[,URL]...",
    help: "NATS to use instead of an own server: coordinators of one pool share it",
  },
  "nats-replicas": {
    type: "integer",
    min: 1,
    max: 5,
    default: 1,
    help: "NATS servers that keep a copy of the log: 3 in a cluster of three",
  },
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
  rules: {
    type: "string",
    value: "FILE",
    help: "JSON: tenants' weights and limits, retries, quarantine, preemption",
  },
  "snapshot-turns": {
    type: "integer",
    min: 100,
    max: 10_000_000,
    default: 50_000,
    help: "messages by which the log grows until a snapshot is taken and it is cut",
  },
  "snapshot-mebibytes": {
    type: "integer",
    min: 1,
    max: 65_536,
    default: 64,
    help: "MiB by which it grows until then",
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
  /** Undefined = the address that is bound. */
  readonly advertise: string | undefined;
  /** Undefined = a server of its own. */
  readonly natsUrl: string | undefined;
  readonly natsReplicas: number;
  /** A location for openStore. */
  readonly artifacts: string;
  readonly pool: string;
  readonly rules: Rules;
  readonly snapshotLimits: SnapshotLimits;
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
  checkReachable(flags);
  const dataFolder = path.resolve(flags.data);
  const leaseMs = flags["lease-seconds"] * 1000;
  return {
    dataFolder,
    listen: flags.listen,
    http: flags.http,
    advertise: flags.advertise,
    natsUrl: flags.nats,
    natsReplicas: flags["nats-replicas"],
    artifacts: absoluteLocation(flags.artifacts ?? path.join(dataFolder, "artifacts")),
    pool: flags.pool,
    rules: { ...(flags.rules === undefined ? defaultRules : readRules(flags.rules)), leaseMs },
    snapshotLimits: {
      turns: flags["snapshot-turns"],
      bytes: flags["snapshot-mebibytes"] * 1024 * 1024,
    },
    logLevel: flags["log-level"],
  };
}

/** Others must be able to dial what this coordinator says of itself. */
function checkReachable({ advertise, listen, nats }: FlagValues<typeof coordinatorFlags>): void {
  if (advertise !== undefined && parseAddress(advertise).port === 0) {
    throw new FarmError("INVALID_ARGUMENT", `--advertise is ${advertise}; give a port`);
  }
  const everywhere = ["0.0.0.0", "::"].includes(parseAddress(listen).host);
  if (nats !== undefined && advertise === undefined && everywhere) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `--listen is ${listen}, which nobody can dial; give --advertise HOST:PORT`,
    );
  }
}
