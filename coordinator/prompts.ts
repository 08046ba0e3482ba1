// The prompts of a batch lie in the artifact store as one JSON array under its SHA-256, so that
// 100,000 of them are one small event in the log. Leases and answers read them through a bounded
// cache.

import { createHash } from "node:crypto";
import type { ArtifactStore } from "../artifacts/port.js";
import { FarmError } from "../common/errors.js";
import type { PromptStore } from "./ports.js";

/** 16 batches of the largest size. */
const cacheBytesMax = 256 * 1024 * 1024;

/** A prompt store over the artifact store. */
export function createPromptStore(store: ArtifactStore): PromptStore {
  const cache = new Map<string, { readonly list: Promise<readonly string[]>; bytes: number }>();
  let cacheBytes = 0;

  const evict = (): void => {
    for (const [key, { bytes }] of cache) {
      if (cacheBytes <= cacheBytesMax || cache.size === 1) return;
      cache.delete(key);
      cacheBytes -= bytes;
    }
  };

  const read = (key: string): Promise<readonly string[]> => {
    const entry = { bytes: 0, list: Promise.resolve<readonly string[]>([]) };
    entry.list = readAll(store, key).then(
      (bytes) => {
        if (cache.get(key) === entry) {
          entry.bytes = bytes.length;
          cacheBytes += bytes.length;
          evict();
        }
        return parse(key, bytes);
      },
      (error: unknown) => {
        if (cache.get(key) === entry) cache.delete(key);
        throw error;
      },
    );
    cache.set(key, entry);
    return entry.list;
  };

  return {
    put: async (prompts) => {
      const bytes = Buffer.from(JSON.stringify(prompts));
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      const key = `blobs/${sha256}`;
      if ((await store.head(key))?.sizeBytes !== bytes.length) await store.put(key, bytes);
      return { key, sha256 };
    },
    load: (key) => {
      const known = cache.get(key);
      if (!known) return read(key);
      cache.delete(key); // to the young end
      cache.set(key, known);
      return known.list;
    },
  };
}

async function readAll(store: ArtifactStore, key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.get(key)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function parse(key: string, bytes: Buffer): readonly string[] {
  if (`blobs/${createHash("sha256").update(bytes).digest("hex")}` === key) {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    if (Array.isArray(value) && value.every((prompt) => typeof prompt === "string")) return value;
  }
  throw new FarmError(
    "FAILED_PRECONDITION",
    `the prompts under ${key} are damaged: restore the artifact store`,
  );
}
