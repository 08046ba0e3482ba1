// What clips look like that nothing disturbed: rendered on a farm of their own, once for a test
// file, since the bits of a clip do not depend on the farm.

import { FarmClient } from "../../cli/farm-client.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import { digests, rendered } from "./farm-batches.js";
import { FarmSandbox, idleWorkers } from "./farm-processes.js";

/** Digests of each prompt's clip, as `digests` gives them. */
export async function undisturbedDigests(
  prompts: readonly string[],
  changes: Partial<RenderSpec>,
): Promise<readonly (readonly string[])[]> {
  const sandbox = new FarmSandbox();
  try {
    const coordinator = await sandbox.coordinator();
    const client = new FarmClient(coordinator.grpc);
    const ids = ["r1", "r2"];
    await Promise.all(ids.map((id) => sandbox.worker(coordinator, id)));
    await idleWorkers(client, ...ids);
    const clips = await rendered(client, prompts, changes);
    client.close();
    return clips.map((clip) => digests(sandbox.artifactsFolder, clip));
  } finally {
    sandbox.dispose();
  }
}
