// A command's work with the coordinator that its options name.
import { type FarmAddressOptions, findCoordinator } from "./coordinator-address.js";
import { FarmClient } from "./farm-client.js";

export async function withClient<T>(
  options: FarmAddressOptions,
  work: (client: FarmClient) => Promise<T>,
): Promise<T> {
  const client = new FarmClient(findCoordinator(options, process.env), (line) =>
    process.stderr.write(`${line}\n`),
  );
  try {
    return await work(client);
  } finally {
    client.close();
  }
}
