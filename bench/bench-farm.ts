// What the benchmarks of a farm say to it: a worker with one device on the model that ships, and
// batches of clips of it.
import path from "node:path";
import { packageRoot } from "../common/paths.js";
import { readModelFolder } from "../engine/model-folder.js";
import { SubmitBatchRequest } from "../proto/gen/tocafarm/v1/farm.js";
import type { Hello, Model } from "../proto/gen/tocafarm/v1/worker.js";
import { demoSpec } from "../test/support/demo-spec.js";

export const benchDevice = "cpu";

export async function benchModels(): Promise<readonly Model[]> {
  const { name, configs } = await readModelFolder(path.join(packageRoot(), "models", "demo"));
  const { transformer, vae, textEncoder, modelIndex } = configs;
  const texts = { transformerConfig: transformer, vaeConfig: vae, textEncoderConfig: textEncoder };
  return [{ name, weightsDigest: "bench", ...texts, modelIndex }];
}

export function benchHello(workerId: string, models: readonly Model[]): Hello {
  const state = "DEVICE_STATE_READY" as const;
  const memoryBytes = 8_000_000_000n;
  const loadedModel = demoSpec.model;
  const device = { name: benchDevice, kind: "bench", memoryBytes, dtype: "fp32" };
  return {
    ...{ workerId, version: "0", models: [...models], draining: false },
    devices: [{ ...device, state, loadedModel }],
    ...{ held: [], completed: [], failed: [], checkpoints: [] },
  };
}

export function benchRequest(clips: number, idempotencyKey: string): SubmitBatchRequest {
  const prompts = Array.from({ length: clips }, (_, index) => `a star spins ${index}`);
  return { ...SubmitBatchRequest.fromPartial({ prompts, idempotencyKey }), spec: demoSpec };
}
