// What is kept of a rendered clip beside its files. The record is written last: where it is, the
// clip is whole, and need not be rendered again while its plan is the one asked for.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { FarmError } from "../../common/errors.js";
import type { Clip } from "../../proto/gen/tocafarm/v1/farm.js";
import type { RenderTotals } from "../../proto/gen/tocafarm/v1/render.js";
import { fetchFile } from "../clip-files.js";
import type { FarmClient } from "../farm-client.js";
import {
  type Comparison,
  clipBase,
  framesEnding,
  losslessFile,
  type PlannedPolicy,
  writeWhole,
} from "./comparison.js";

/** Of one clip; file names without their folder. */
export interface ClipRecord {
  readonly planDigest: string;
  readonly prompt: string;
  readonly seed: string;
  /** The video or image. */
  readonly media: string;
  readonly sha256: string;
  /** What decides the bits beside the request: from the manifest. */
  readonly kind: string;
  readonly weightsDigest: string;
  readonly height: number;
  readonly width: number;
  readonly seconds: ClipSeconds;
  readonly flops: number;
  readonly flopsNone: number;
  readonly tokensComputed: number;
  readonly tokensReused: number;
}

/** Of the attempt that was published. */
export interface ClipSeconds {
  readonly denoise: number;
  /** Text to upload: all that the clip kept its device and encoder for. */
  readonly total: number;
}

export const profileEnding = ".profile.json";
const recordEnding = ".record.json";

/** Brings a published clip's files, and then its record; resolves to the path of its media. */
export async function bringClip(
  client: FarmClient,
  clip: Clip,
  {
    comparison,
    policy,
    index,
  }: {
    readonly comparison: Comparison;
    readonly policy: PlannedPolicy;
    /** In the comparison, not in the batch. */
    readonly index: number;
  },
): Promise<string> {
  const base = clipBase(comparison, policy, index);
  const media = await bringFiles(client, clip, base);
  const manifest = JSON.parse(await readFile(`${base}.json`, "utf8"));
  const record: ClipRecord = {
    ...wanted(comparison, policy, index),
    media: path.basename(media),
    sha256: manifest.sha256,
    kind: manifest.kind,
    weightsDigest: manifest.model.weights_digest,
    height: manifest.height,
    width: manifest.width,
    ...figuresOf(clip.totals),
  };
  await writeWhole(`${base}${recordEnding}`, `${JSON.stringify(record, null, 2)}\n`);
  return media;
}

async function bringFiles(client: FarmClient, clip: Clip, base: string): Promise<string> {
  let media = "";
  for (const artifact of clip.artifacts) {
    const name = path.posix.basename(artifact.key);
    const ending = endings[name];
    if (ending === undefined) continue;
    await fetchFile(client, artifact, base + ending);
    if (media === "") media = base + ending; // it is reported first
  }
  return media;
}

const endings: Readonly<Record<string, string>> = {
  "video.mp4": ".mp4",
  "image.png": ".png",
  "manifest.json": ".json",
  "frames.mkv": framesEnding,
  "profile.json": profileEnding,
};

function figuresOf(totals: RenderTotals | undefined) {
  const { textEncodeSeconds = 0, denoiseSeconds = 0, decodeSeconds = 0 } = totals ?? {};
  const { encodeSeconds = 0, uploadSeconds = 0 } = totals ?? {};
  const rest = textEncodeSeconds + decodeSeconds + encodeSeconds + uploadSeconds;
  return {
    seconds: { denoise: denoiseSeconds, total: denoiseSeconds + rest },
    flops: totals?.flops ?? 0,
    flopsNone: totals?.flopsNone ?? 0,
    tokensComputed: Number(totals?.tokensComputed ?? 0n),
    tokensReused: Number(totals?.tokensReused ?? 0n),
  };
}

function wanted({ clips }: Comparison, { plan }: PlannedPolicy, index: number) {
  const { prompt = "", seed = 0n } = clips[index] ?? {};
  return { planDigest: plan.digest, prompt, seed: String(seed) };
}

/**
 * The record of a clip that is there as it is planned; undefined = it has to be rendered. Throws
 * FAILED_PRECONDITION for a clip of another prompt or seed, which would be overwritten.
 */
export async function readRecord(
  comparison: Comparison,
  policy: PlannedPolicy,
  index: number,
): Promise<ClipRecord | undefined> {
  const file = `${clipBase(comparison, policy, index)}${recordEnding}`;
  let record: ClipRecord;
  try {
    record = JSON.parse(await readFile(file, "utf8")); // nobody but bringClip writes it
  } catch {
    return undefined; // not yet rendered, or damaged: it is rendered again
  }
  const { planDigest, prompt, seed } = wanted(comparison, policy, index);
  if (record.prompt !== prompt || record.seed !== seed) {
    throw new FarmError(
      "FAILED_PRECONDITION",
      `${comparison.folder} holds clips of other prompts or seeds, such as ` +
        `${JSON.stringify(record.prompt)} with ${record.seed}: choose another --out folder`,
    );
  }
  const isWhole = existsSync(losslessFile(comparison, policy, index));
  return isWhole && record.planDigest === planDigest ? record : undefined;
}
