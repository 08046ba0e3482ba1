// What an artifact store holds, for tests that compare it.
import type { ArtifactStore } from "../../artifacts/port.js";

/** The keys that begin with the prefix, sorted. */
export async function keysOf(store: ArtifactStore, prefix = ""): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys.sort();
}
