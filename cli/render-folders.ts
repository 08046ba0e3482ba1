// Data folders of renders that keep none: each has one for its own time. One that was killed leaves
// its folder behind; the next render takes such folders away, once they are a day old and nobody
// has their lock.
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { lockFolder } from "../common/folder-lock.js";

const prefix = "render-";
const keptMs = 24 * 3600 * 1000;

/** Does the work with a new folder below `root`, which is then removed. */
export async function withRenderFolder(
  root: string,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  await removeAbandoned(root, Date.now());
  const folder = await mkdtemp(path.join(root, prefix));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Removes folders of renders that were killed; what cannot be removed stays. */
export async function removeAbandoned(root: string, nowMs: number): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.startsWith(prefix)) continue;
    const folder = path.join(root, name);
    try {
      const found = await stat(folder);
      if (!found.isDirectory() || nowMs - found.mtimeMs < keptMs) continue;
      const lock = await lockFolder(folder); // throws while a coordinator runs on it
      await rm(folder, { recursive: true, force: true }).finally(() => lock.release());
    } catch {
      // In use, somebody else's, or gone meanwhile: in all cases not ours to remove.
    }
  }
}
