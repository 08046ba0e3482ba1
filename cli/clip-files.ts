// Brings a published clip's files to where the user wants them. A file appears under its name only
// when it is whole and has the digest that the event log knows.
import { createHash } from "node:crypto";
import { access, constants, open, rename, rm, rmdir, stat } from "node:fs/promises";
import path from "node:path";
import { asFarmError, FarmError } from "../common/errors.js";
import { makeFolders } from "../common/folders.js";
import type { Clip } from "../proto/gen/tocafarm/v1/farm.js";
import type { Artifact } from "../proto/gen/tocafarm/v1/render.js";
import type { FarmClient } from "./farm-client.js";
import { clipNumber } from "./progress.js";

/** What of a clip is wanted, and under which names. */
export interface ClipFileOptions {
  /** Gets `<sample name>_<index, 4 digits>` with the media and its manifest. */
  readonly folder: string;
  readonly sampleName: string;
  /**
   * For the final latent, the trace and the lossless frames: of a batch, each clip's number goes
   * before the ending.
   */
  readonly latentFile?: string;
  readonly traceFile?: string;
  readonly framesFile?: string;
}

/** Downloads a clip's files; resolves to the path of its video or image. */
export async function fetchClip(
  client: FarmClient,
  clip: Clip,
  options: ClipFileOptions & { readonly clipsTotal: number },
): Promise<string> {
  const base = path.join(options.folder, `${options.sampleName}_${clipNumber(clip.index)}`);
  const [media] = clip.artifacts;
  if (media === undefined) throw new FarmError("INTERNAL", `clip ${clip.id} has no artifact`);
  const mediaPath = base + path.extname(media.key);
  const wanted: readonly (readonly [string, string | undefined])[] = [
    [path.basename(media.key), mediaPath],
    ["manifest.json", `${base}.json`],
    ["latent.safetensors", numbered(options.latentFile, clip.index, options.clipsTotal)],
    ["trace.jsonl", numbered(options.traceFile, clip.index, options.clipsTotal)],
    ["frames.mkv", numbered(options.framesFile, clip.index, options.clipsTotal)],
  ];
  for (const [name, file] of wanted) {
    const artifact = clip.artifacts.find(({ key }) => path.posix.basename(key) === name);
    if (file !== undefined && artifact !== undefined) await fetchFile(client, artifact, file);
  }
  return mediaPath;
}

/** Downloads the video or image of a clip's preview, as `<sample name>_0000.preview.mp4`. */
export async function fetchPreview(
  client: FarmClient,
  clip: Clip,
  { folder, sampleName }: ClipFileOptions,
): Promise<void> {
  const [media] = clip.previewArtifacts;
  if (media === undefined) throw new FarmError("INTERNAL", `clip ${clip.id} has no preview`);
  const name = `${sampleName}_${clipNumber(clip.index)}.preview${path.extname(media.key)}`;
  await fetchFile(client, media, path.join(folder, name));
}

function numbered(file: string | undefined, index: number, total: number): string | undefined {
  if (file === undefined || total === 1) return file;
  const { dir, name, ext } = path.parse(file);
  return path.join(dir, `${name}_${clipNumber(index)}${ext}`);
}

/** Downloads one file; throws IO when it arrives damaged or cannot be written. */
export async function fetchFile(
  client: FarmClient,
  artifact: Artifact,
  file: string,
): Promise<void> {
  const part = `${file}.part`;
  try {
    await writeVerified(client, artifact, file, part);
    await onDisk(file, rename(part, file));
  } catch (thrown) {
    await rm(part, { force: true });
    throw thrown;
  }
}

/** What fails here is the user's disk, not the farm's: told as such, and not tried again. */
export async function onDisk<T>(name: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    const { message } = asFarmError(thrown);
    throw new FarmError("IO", `${name} cannot be written: ${message}`, { cause: thrown });
  }
}

async function writeVerified(
  client: FarmClient,
  artifact: Artifact,
  name: string,
  part: string,
): Promise<void> {
  let sha256 = "";
  await client.download(artifact.key, async (chunks) => {
    const hash = createHash("sha256");
    const file = await onDisk(name, open(part, "w"));
    try {
      for await (const chunk of chunks) {
        hash.update(chunk);
        // Unlike write, writeFile does not stop half-way on a full disk.
        await onDisk(name, file.writeFile(chunk));
      }
      await onDisk(name, file.sync());
    } finally {
      await file.close();
    }
    sha256 = hash.digest("hex");
  });
  if (sha256 !== artifact.sha256) {
    throw new FarmError(
      "IO",
      `${artifact.key} arrived damaged: its SHA-256 differs; fetch it again`,
    );
  }
}

/** As prepareFolder, for the folder of a file; throws IO when the file's name is a folder's. */
export async function prepareFile(file: string): ReturnType<typeof prepareFolder> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isDirectory()) throw new FarmError("IO", `${file} is a folder; name a file`);
  return prepareFolder(path.dirname(file));
}

/** A folder that files can be written to; `undo` removes what was created, unless it was used. */
export async function prepareFolder(folder: string): Promise<{ undo(): Promise<void> }> {
  try {
    const created = await makeFolders(folder);
    await access(folder, constants.W_OK);
    return {
      undo: () => (created === undefined ? Promise.resolve() : removeEmpty(folder, created)),
    };
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new FarmError("IO", `${folder} cannot be written to: ${reason}; choose another folder`, {
      cause: thrown,
    });
  }
}

/** Removes empty folders from `folder` up to `first`, which was the outermost one created. */
async function removeEmpty(folder: string, first: string): Promise<void> {
  const outermost = path.resolve(first);
  for (let at = path.resolve(folder); at.startsWith(outermost); at = path.dirname(at)) {
    try {
      await rmdir(at);
    } catch {
      return; // something lies in it: it stays
    }
  }
}
