// The artifact store in a folder, local or shared. A file is written beside its place under a
// hidden part name, synced, renamed and the folder synced, so that a crash leaves the old content,
// the new content or a hidden part file, and never half an artifact.
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { FarmError } from "../common/errors.js";
import { hasCode, ioError } from "./folder-errors.js";
import {
  createFolder,
  digestOf,
  entriesOf,
  openInNewFolder,
  readChunks,
  removeEmptyFolders,
  renameIntoNewFolder,
  statOf,
  syncFile,
  syncFolder,
  writeAndSync,
} from "./folder-files.js";
import { isPartName, partName } from "./part-name.js";
import {
  type Artifact,
  type ArtifactHead,
  type ArtifactStore,
  checkKey,
  checkPrefix,
} from "./port.js";

/** Opens the store in `root`, which is created; throws IO when the folder cannot be written to. */
export async function openFolderStore(root: string): Promise<ArtifactStore> {
  const store = new FolderStore(resolve(root));
  await store.clock();
  return store;
}

class FolderStore implements ArtifactStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /**
   * Milliseconds since 1970 by the clock that stamps the files, which on a shared folder is the
   * server's. Writes and removes a hidden file, so at start it tells of a wrong path too.
   */
  async clock(): Promise<number> {
    const path = join(this.#root, partName("clock"));
    return this.#guarded(path, async () => {
      await createFolder(this.#root);
      let file: FileHandle | undefined;
      try {
        file = await open(path, "wx");
        await file.writeFile("x");
        return (await file.stat()).mtimeMs;
      } finally {
        await file?.close();
        await rm(path, { force: true });
      }
    });
  }

  async put(key: string, source: Uint8Array | AsyncIterable<Uint8Array>): Promise<Artifact> {
    const path = this.localPath(key);
    const part = join(dirname(path), partName(basename(path)));
    return this.#guarded(path, async () => {
      try {
        const file = await openInNewFolder(part);
        const written = await writeAndSync(file, source);
        await rename(part, path);
        await syncFolder(dirname(path));
        return { key, ...written };
      } catch (error) {
        await rm(part, { force: true });
        throw error;
      }
    });
  }

  async putFile(key: string, from: string): Promise<Artifact> {
    const path = this.localPath(key);
    const content = await this.#guarded(from, () => digestOf(from));
    await this.#guarded(from, () => syncFile(from));
    const moved = await this.#guarded(path, () => renameIntoNewFolder(from, path));
    if (moved) return { key, ...content };
    const copied = await this.put(key, readChunks(from));
    await this.#guarded(from, () => rm(from));
    return copied;
  }

  async *get(key: string): AsyncIterable<Uint8Array> {
    const path = this.localPath(key);
    try {
      yield* readChunks(path);
    } catch (error) {
      if (hasCode(error, "ENOENT")) {
        throw new FarmError("NOT_FOUND", `artifact ${key} is not in ${this.#root}`);
      }
      throw ioError(path, error);
    }
  }

  async head(key: string): Promise<ArtifactHead | undefined> {
    const path = this.localPath(key);
    return this.#guarded(path, () => headOf(key, path));
  }

  async *list(prefix: string): AsyncIterable<ArtifactHead> {
    checkPrefix(prefix);
    const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    try {
      for await (const key of walk(this.#root, folder, prefix)) {
        if (isHidden(key)) continue;
        const head = await headOf(key, join(this.#root, key));
        if (head !== undefined) yield head;
      }
    } catch (error) {
      throw error instanceof FarmError ? error : ioError(join(this.#root, folder), error);
    }
  }

  async delete(key: string): Promise<void> {
    const path = this.localPath(key);
    await this.#guarded(path, async () => {
      await rm(path, { force: true });
      await removeEmptyFolders(dirname(path), this.#root);
    });
  }

  async sweepParts(ageMs: number): Promise<number> {
    const endMs = (await this.clock()) - ageMs;
    return this.#guarded(this.#root, async () => {
      let removed = 0;
      for await (const key of walk(this.#root, "", "")) {
        const path = join(this.#root, key);
        if (!isPartName(basename(path)) || !(await isOlder(path, endMs))) continue;
        await rm(path, { recursive: true, force: true });
        await removeEmptyFolders(dirname(path), this.#root);
        removed += 1;
      }
      return removed;
    });
  }

  localPath(key: string): string {
    checkKey(key);
    return join(this.#root, key);
  }

  async #guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw error instanceof FarmError ? error : ioError(path, error);
    }
  }
}

/**
 * The keys below `folder` (a key prefix ending in "/", or "") that begin with `prefix`, hidden
 * names included.
 */
async function* walk(root: string, folder: string, prefix: string): AsyncGenerator<string> {
  for await (const entry of entriesOf(join(root, folder))) {
    const key = folder + entry.name;
    if (entry.isDirectory() && !isHidden(key)) {
      const below = `${key}/`;
      if (below.startsWith(prefix) || prefix.startsWith(below)) yield* walk(root, below, prefix);
    } else if (key.startsWith(prefix)) {
      yield key;
    }
  }
}

function isHidden(key: string): boolean {
  return key.startsWith(".", key.lastIndexOf("/") + 1);
}

async function headOf(key: string, path: string): Promise<ArtifactHead | undefined> {
  const found = await statOf(path);
  if (!found?.isFile()) return undefined;
  return { key, sizeBytes: found.size, modifiedAtMs: found.mtimeMs };
}

async function isOlder(path: string, endMs: number): Promise<boolean> {
  const found = await statOf(path);
  return found !== undefined && found.mtimeMs < endMs;
}
