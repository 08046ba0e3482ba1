// What an attempt needs from the store before its engine begins: copied into the attempt's folder
// where the store is not a folder itself, and checked.
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { ArtifactStore } from "../artifacts/port.js";
import { asFarmError, FarmError } from "../common/errors.js";
import type { ResumePoint } from "../proto/gen/tocafarm/v1/worker.js";

/**
 * A local path of the initial latent: where the store has it, or a copy in the attempt's folder.
 * Throws NOT_FOUND, and IO when it cannot be copied.
 */
export async function fetchInitialLatent(
  store: ArtifactStore,
  key: string,
  folder: string,
): Promise<string> {
  if ((await store.head(key)) === undefined) {
    throw new FarmError("NOT_FOUND", `the initial latent ${key} is not in the artifact store`);
  }
  const path = store.localPath?.(key);
  if (path !== undefined) return path;
  const copy = join(folder, "initial-latent.safetensors");
  await pipeline(store.get(key), createWriteStream(copy));
  return copy;
}

/**
 * A copy of a checkpoint in the attempt's folder: its own, so that nobody removes it meanwhile.
 * Throws INVALID_CHECKPOINT when the store cannot give what was stored, UNAVAILABLE when the store
 * itself does not work (what was stored is still of use then), IO when the folder cannot take it.
 */
export async function fetchCheckpoint(
  store: ArtifactStore,
  { artifact }: ResumePoint,
  folder: string,
): Promise<string> {
  if (artifact === undefined) throw unusable("names no artifact");
  const hash = createHash("sha256");
  const copy = join(folder, "resume.safetensors");
  await pipeline(hashed(store, artifact.key, hash), createWriteStream(copy));
  const sha256 = hash.digest("hex");
  if (sha256 === artifact.sha256) return copy;
  throw unusable(`${artifact.key} has the digest ${sha256}, told was ${artifact.sha256}`);
}

async function* hashed(
  store: ArtifactStore,
  key: string,
  hash: ReturnType<typeof createHash>,
): AsyncGenerator<Uint8Array> {
  const chunks = store.get(key)[Symbol.asyncIterator]();
  for (;;) {
    let next: IteratorResult<Uint8Array>;
    try {
      next = await chunks.next();
    } catch (thrown) {
      await checkAnswering(store, key);
      throw unusable(`cannot be read: ${asFarmError(thrown).message}`, thrown);
    }
    if (next.done === true) return;
    hash.update(next.value);
    yield next.value;
  }
}

/** Throws UNAVAILABLE for a store that cannot even tell whether it has the key. */
async function checkAnswering(store: ArtifactStore, key: string): Promise<void> {
  try {
    await store.head(key);
  } catch (thrown) {
    const { code, message } = asFarmError(thrown);
    if (code !== "IO") return; // no key: asked again, it would say the same
    throw new FarmError(
      "UNAVAILABLE",
      `the checkpoint to go on from waits for the store: ${message}`,
      {
        cause: thrown,
      },
    );
  }
}

function unusable(why: string, cause?: unknown): FarmError {
  return new FarmError("INVALID_CHECKPOINT", `the checkpoint to go on from ${why}`, { cause });
}
