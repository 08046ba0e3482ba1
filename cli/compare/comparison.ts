// A comparison and the folder that keeps it: what is rendered, under which policies, and where each
// clip's files lie. A folder holds clips of one comparison only, so that one that was interrupted,
// or that gets further policies, goes on with what is there.
import { createHash } from "node:crypto";
import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { FarmError } from "../../common/errors.js";
import type { ModelFolder } from "../../engine/model-folder.js";
import { type Dtype, makePlan, type Plan } from "../../engine/plan.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import { onDisk } from "../clip-files.js";
import { clipNumber } from "../progress.js";
import { planRequest } from "../render-spec.js";
import type { ComparedPolicy } from "./policies.js";

export interface PlannedPolicy extends ComparedPolicy {
  readonly plan: Plan;
}

/** One clip of every policy. */
export interface ComparedClip {
  readonly prompt: string;
  /** Before it wraps around at 64 bits. */
  readonly seed: bigint;
}

export interface Comparison {
  readonly folder: string;
  readonly model: ModelFolder;
  /** Its policy is replaced by each that is compared; frames are kept. */
  readonly spec: RenderSpec;
  /** All prompts with the first seeds, then all with the next ones. */
  readonly clips: readonly ComparedClip[];
  readonly policies: readonly PlannedPolicy[];
}

/** More clips are no comparison, but a day's work for the metrics. */
export const clipsMax = 1000;

/** Throws INVALID_ARGUMENT for too many clips and for what a plan does not like. */
export function newComparison(options: {
  readonly folder: string;
  readonly model: ModelFolder;
  readonly spec: RenderSpec;
  readonly prompts: readonly string[];
  /** How often each prompt is rendered, with seeds of its own. */
  readonly seeds: number;
  readonly policies: readonly ComparedPolicy[];
}): Comparison {
  const { folder, model, prompts, seeds } = options;
  const spec = { ...options.spec, saveFrames: options.spec.frames > 1 };
  const count = prompts.length * seeds;
  if (count > clipsMax) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `${prompts.length} prompts with ${seeds} seeds are ${count} clips; at most ${clipsMax}`,
    );
  }
  const clips = Array.from({ length: seeds }, () => prompts)
    .flat()
    .map((prompt, index) => ({ prompt, seed: spec.seed + BigInt(index) }));
  const policies = options.policies.map((compared) => {
    const request = planRequest({ ...spec, policy: policyMessage(compared) });
    return { ...compared, plan: makePlan(model.configs, request, dtypeOf(spec)) };
  });
  return { folder, model, spec, clips, policies };
}

export function policyMessage({ policy }: ComparedPolicy): NonNullable<RenderSpec["policy"]> {
  return { ...policy, options: { ...policy.options } };
}

function dtypeOf({ dtype }: RenderSpec): Dtype {
  return dtype === "bf16" ? "bf16" : "fp32";
}

/** Path of a clip's files without their endings: ".mp4", ".json", ".frames.mkv" and so on. */
export function clipBase(
  { folder }: Comparison,
  policy: Pick<ComparedPolicy, "folder">,
  index: number,
): string {
  return path.join(folder, policy.folder, `clip_${clipNumber(index)}`);
}

export const framesEnding = ".frames.mkv";

/** File without loss of a clip: a video's frames, or the image itself. */
export function losslessFile(
  comparison: Comparison,
  policy: Pick<ComparedPolicy, "folder">,
  index: number,
): string {
  const ending = comparison.spec.frames > 1 ? framesEnding : ".png";
  return clipBase(comparison, policy, index) + ending;
}

const headName = "comparison.json";

/** Throws FAILED_PRECONDITION when the folder, which exists, holds another comparison. */
export async function checkFolder(comparison: Comparison): Promise<void> {
  const file = path.join(comparison.folder, headName);
  const head = await headOf(comparison);
  const found = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  const other = found === undefined ? undefined : differing(head, found);
  if (other === undefined) return;
  throw new FarmError(
    "FAILED_PRECONDITION",
    `${comparison.folder} holds a comparison with another ${other}: choose another --out folder`,
  );
}

/** Says what the folder holds, before the first clip lies in it. */
export async function claimFolder(comparison: Comparison): Promise<void> {
  const head = await headOf(comparison);
  await writeWhole(path.join(comparison.folder, headName), `${JSON.stringify(head, null, 2)}\n`);
}

/**
 * Writes a file that appears under its name only when it is whole. Throws IO with the name when it
 * cannot be written.
 */
export async function writeWhole(file: string, text: string): Promise<void> {
  const part = `${file}.part`;
  try {
    await onDisk(file, writeFile(part, text));
    await onDisk(file, rename(part, file));
  } catch (thrown) {
    await rm(part, { force: true });
    throw thrown;
  }
}

/**
 * All that decides what is rendered, but policies, which may join, and prompts and seeds, which
 * stand in each clip's record.
 */
async function headOf({ model, spec }: Comparison): Promise<Readonly<Record<string, string>>> {
  const { policy: _policy, seed: _seed, model: name, ...settings } = spec;
  const fields = Object.entries(settings).map(([field, value]) => [field, JSON.stringify(value)]);
  const files = digest(await listing(model.path));
  return { version: "1", model: name, "model files": files, ...Object.fromEntries(fields) };
}

function differing(head: Readonly<Record<string, string>>, text: string): string | undefined {
  let found: Readonly<Record<string, unknown>>;
  try {
    found = Object(JSON.parse(text));
  } catch {
    return "version"; // not ours, or of another time
  }
  return Object.keys(head).find((name) => found[name] !== head[name]);
}

/** Names, sizes and times of a model's files: to hash gigabytes would take longer than a clip. */
async function listing(folder: string): Promise<string> {
  const lines = (await filesBelow(folder)).map(async (name) => {
    const { size, mtimeMs } = await stat(path.join(folder, name));
    return `${name} ${size} ${mtimeMs}\n`;
  });
  return (await Promise.all(lines)).join("");
}

/** Sorted; a part of the model may be a link to a folder, and is followed. */
async function filesBelow(folder: string): Promise<readonly string[]> {
  const files: string[] = [];
  for (const name of (await readdir(folder)).sort()) {
    const isFolder = (await stat(path.join(folder, name))).isDirectory();
    const below = isFolder ? await filesBelow(path.join(folder, name)) : [];
    files.push(...(isFolder ? below.map((file) => path.join(name, file)) : [name]));
  }
  return files;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
