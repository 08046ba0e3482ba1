// The manifest beside a clip: what it is and everything that decided its bits. It names no time,
// worker or attempt, so that two attempts of one clip have the same manifest, unless one was
// resumed.
import type { Artifact } from "../artifacts/port.js";
import type { ProgramVersions, RenderJob, RenderOutput } from "./engine-messages.js";

export interface ManifestInputs {
  readonly job: RenderJob;
  readonly output: RenderOutput;
  readonly dtype: string;
  /** Key of the initial latent in the store; "" = drawn from the seed. */
  readonly initialLatentKey: string;
  readonly media: Artifact;
  readonly versions: ProgramVersions & { readonly tocafarm: string };
}

/** The JSON text. */
export function manifestText(inputs: ManifestInputs): string {
  const { job, output, media, versions } = inputs;
  const { plan } = job;
  const manifest = {
    version: 1,
    file: output.media,
    sha256: media.sha256,
    size_bytes: media.sizeBytes,
    frames: output.frames,
    height: output.height,
    width: output.width,
    fps: job.saveFps,
    prompt: job.prompt,
    cleaned_prompt: output.cleanedPrompt,
    seed: String(job.seed), // 64 bits do not fit a JSON reader's number
    model: {
      name: job.model.name,
      family: job.model.traits.family,
      weights_digest: output.weightsDigest,
    },
    sampler: output.sampler,
    steps: plan.steps,
    guidance: plan.guidance,
    conditioning_fps: plan.fps,
    policy: { name: plan.policy.name, options: sortedByName(plan.policy.options) },
    plan_digest: output.planDigest,
    initial_latent: inputs.initialLatentKey === "" ? null : inputs.initialLatentKey,
    // The steps before it were another attempt's, on this kind of device: the bits are the same.
    resumed_from: job.resumeFromPath === null ? null : { step: job.firstStep },
    dtype: inputs.dtype,
    kind: output.kind,
    versions: {
      tocafarm: versions.tocafarm,
      engine: versions.engine,
      onednn: versions.onednn,
      ffmpeg: versions.ffmpeg,
    },
  };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** A map's order over the network is chance. */
function sortedByName(options: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1)));
}
