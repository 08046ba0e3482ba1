// Batches for a farm of real processes: the demo model, small and quick, and what came of them.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { BatchWithClips, FarmClient } from "../../cli/farm-client.js";
import { type Clip, SubmitBatchRequest } from "../../proto/gen/tocafarm/v1/farm.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import { demoSpec } from "./demo-spec.js";
import { eventually } from "./worker-process.js";

export const demoPrompts = [
  "a red circle moves right on a white background",
  "on a blue background, a small yellow star spins",
  "a green square bounces on a black background",
  "a purple triangle grows on a gray background",
];

/** Submits a batch and resolves to its id. */
export async function submit(
  client: FarmClient,
  prompts: readonly string[],
  changes: Partial<RenderSpec> = {},
): Promise<string> {
  const spec = { ...demoSpec, ...changes };
  const batch = await client.submit({
    ...SubmitBatchRequest.fromPartial({ name: "test", prompts: [...prompts] }),
    spec,
  });
  return batch.id;
}

/** Follows a batch to its end, over a coordinator that goes away and comes back too. */
export async function ended(client: FarmClient, batchId: string): Promise<BatchWithClips> {
  for await (const _ of client.watch(batchId, AbortSignal.timeout(60_000)));
  return client.get(batchId);
}

/** Submits and follows; resolves to the clips, all published. */
export async function rendered(
  client: FarmClient,
  prompts: readonly string[],
  changes: Partial<RenderSpec> = {},
): Promise<readonly Clip[]> {
  const { batch, clips } = await ended(client, await submit(client, prompts, changes));
  assert.equal(batch.state, "BATCH_STATE_SUCCEEDED");
  return clips;
}

/** Steps that take a quiet core some two seconds: time to do something in the middle. */
export const manySteps = 600;

/** Waits until the clip has done that many steps, and has more to do. */
export async function reachesStep(
  client: FarmClient,
  { batch, index = 0, step }: { batch: string; index?: number; step: number },
): Promise<Clip> {
  let clip: Clip | undefined;
  const there = async () => {
    clip = (await client.get(batch)).clips[index];
    assert.notEqual(clip?.state, "CLIP_STATE_PUBLISHED", "the clip is still at work");
    return clip?.state === "CLIP_STATE_RUNNING" && clip.step >= step;
  };
  await eventually(there, { limitMs: 30_000, what: `clip ${index} has done ${step} steps` });
  assert.ok(clip !== undefined && clip.step < clip.steps, "the clip is still at work");
  return clip;
}

/** SHA-256 of media and manifest as the log has it, held against the files themselves. */
export function digests(artifactsFolder: string, clip: Clip): readonly string[] {
  const [media, manifest] = clip.artifacts;
  assert.ok(media && manifest, `clip ${clip.id} is ${clip.state} without its files`);
  assert.deepEqual(clip.artifacts.map(({ key }) => path.posix.basename(key)).slice(0, 3), [
    "video.mp4",
    "manifest.json",
    "profile.json",
  ]);
  for (const { key, sha256 } of clip.artifacts) {
    assert.equal(digestOf(path.join(artifactsFolder, key)), sha256, key);
  }
  return [media.sha256, manifest.sha256];
}

export function digestOf(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

/** Whether the store holds anything of this attempt. */
export function hasArtifacts(artifactsFolder: string, clipId: string, attempt: number): boolean {
  return existsSync(path.join(artifactsFolder, "clips", clipId, String(attempt)));
}
