// Files through gRPC, for clients that do not share the artifact folder: a blob comes up in chunks
// and gets its digest as its name, a published file goes down in chunks. Both hold as much in
// memory as one chunk.

import { createHash, randomBytes } from "node:crypto";
import { open, rm } from "node:fs/promises";
import path from "node:path";
import { FarmError } from "../../common/errors.js";
import { makeFolders } from "../../common/folders.js";
import { isBatchId } from "../../common/ids.js";
import type { Send } from "../../common/rpc.js";
import type {
  DownloadArtifactResponse,
  UploadBlobRequest,
  UploadBlobResponse,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { ArtifactStore, FarmPort } from "../ports.js";
import { toArtifactMessage } from "./convert.js";

const chunkBytesMax = 256 * 1024;

/** A latent of the longest clip in fp32, with room. */
const blobBytesMax = 1024 * 1024 * 1024;

/** Takes the chunks into a file of `folder` and moves it into the store under its SHA-256. */
export async function uploadBlob(
  chunks: AsyncIterable<UploadBlobRequest>,
  store: ArtifactStore,
  folder: string,
): Promise<UploadBlobResponse> {
  await makeFolders(folder);
  const file = path.join(folder, `${randomBytes(8).toString("hex")}.part`);
  try {
    const sha256 = await receive(chunks, file);
    const artifact = await store.putFile(`blobs/${sha256}`, file);
    return { artifact: toArtifactMessage(artifact) };
  } finally {
    await rm(file, { force: true });
  }
}

/** Sends a file that belongs to a published clip. Throws NOT_FOUND for any other key. */
export async function downloadArtifact(
  key: string,
  farm: FarmPort,
  store: ArtifactStore,
  send: Send<DownloadArtifactResponse>,
): Promise<void> {
  await checkPublished(farm, key);
  for await (const chunk of store.get(key)) await send({ chunk: Buffer.from(chunk) });
}

/** Throws NOT_FOUND unless the key is one of a published clip, or of a published preview. */
export async function checkPublished(farm: FarmPort, key: string): Promise<void> {
  if (await farm.query(({ state }) => isPublished(state.batches, key))) return;
  throw new FarmError(
    "NOT_FOUND",
    `"${key.slice(0, 100)}" is no file of a published clip; show lists those`,
  );
}

async function receive(chunks: AsyncIterable<UploadBlobRequest>, file: string): Promise<string> {
  const handle = await open(file, "wx", 0o600);
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    for await (const { chunk } of chunks) {
      bytes += chunk.length;
      if (chunk.length > chunkBytesMax) {
        throw new FarmError(
          "INVALID_ARGUMENT",
          `a chunk has ${chunk.length} bytes, ${chunkBytesMax} are allowed`,
        );
      }
      if (bytes > blobBytesMax) {
        throw new FarmError("INVALID_ARGUMENT", `a blob has at most ${blobBytesMax} bytes`);
      }
      hash.update(chunk);
      await handle.writeFile(chunk);
    }
  } finally {
    await handle.close();
  }
  if (bytes === 0) throw new FarmError("INVALID_ARGUMENT", "the blob is empty");
  return hash.digest("hex");
}

type Batches = Parameters<Parameters<FarmPort["query"]>[0]>[0]["state"]["batches"];

function isPublished(batches: Batches, key: string): boolean {
  const match = /^clips\/([^./]+)\.(\d{6})\//.exec(key);
  const batch = match?.[1] ?? "";
  if (!isBatchId(batch)) return false;
  const clip = batches.get(batch)?.clips.get(Number(match?.[2]));
  return [clip?.publication, clip?.preview].some((published) =>
    published?.artifacts.some((artifact) => artifact.key === key),
  );
}
