// Where the coordinators are: by flag, by environment, or by what a running one wrote into its
// folder.
import type { Command } from "commander";
import { parseAddress } from "../common/config.js";
import { FarmError } from "../common/errors.js";
import { coordinatorFilePath, defaultDataFolder, readCoordinatorFile } from "../common/paths.js";

/** Where to look for a coordinator. */
export interface FarmAddressOptions {
  /** HOST:PORT, or several with commas; wins over all. */
  readonly coordinator?: string;
  /** Data folder of a coordinator on this machine. */
  readonly data?: string;
}

/**
 * At least one HOST:PORT. Throws INVALID_ARGUMENT for a bad address, UNAVAILABLE when no
 * coordinator is known.
 */
export function findCoordinators(
  options: FarmAddressOptions,
  env: NodeJS.ProcessEnv,
): readonly string[] {
  const named = options.coordinator ?? (options.data ? undefined : env["TOCAFARM_COORDINATOR"]);
  if (named) {
    const addresses = named.split(",").map((address) => address.trim());
    for (const address of addresses) parseAddress(address);
    return addresses;
  }
  const data = options.data ?? defaultDataFolder(env);
  const running = readCoordinatorFile(data);
  if (running) return [running.grpc];
  throw new FarmError(
    "UNAVAILABLE",
    `no coordinator runs on ${data} (${coordinatorFilePath(data)} is missing): ` +
      'start one with "tocafarm up", or name it with --coordinator HOST:PORT',
  );
}

/** Adds the options by which a coordinator is found. */
export function addFarmOptions(command: Command): Command {
  return command
    .option(
      "--coordinator <host:port>",
      "where the coordinator is, or several with commas [TOCAFARM_COORDINATOR]",
    )
    .option("--data <dir>", "data folder of a coordinator on this machine [TOCAFARM_DATA]");
}
