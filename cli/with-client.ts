// A command's work with the coordinator that its options name.
import { type FarmAddressOptions, findCoordinators } from "./coordinator-address.js";
import { FarmClient } from "./farm-client.js";

export async function withClient<T>(
  options: FarmAddressOptions,
  work: (client: FarmClient) => Promise<T>,
): Promise<T> {
  const find = () => findCoordinators(options, process.env);
  const client = new FarmClient(find, (line) => process.stderr.write(`${line}\n`));
  try {
    return await work(client);
  } finally {
    client.close();
  }
}
