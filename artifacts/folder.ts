// The artifact store in a folder, local or shared. A file is written beside its place under a
// hidden part name, synced, renamed and the folder synced, so that a crash leaves the old content,
// the new content or a hidden part file, and never half an artifact.
import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { FarmError } from "../common/errors.js";
import { makeFolders } from "../common/folders.js";
import {
  type Artifact,
  type ArtifactHead,
  type ArtifactStore,
  checkKey,
  checkPrefix,
} from "./port.js";

// Fits a gRPC message and is large enough that reading is bound by the disk.
const chunkBytes = 256 * 1024;
// A folder may be removed as empty by a delete between its creation and the first file in it.
const openTriesMax = 5;

/** Opens the store in `root`, which is created; throws IO when the folder cannot be written to. */
export async function openFolderStore(root: string): Promise<ArtifactStore> {
  const store = new FolderStore(resolve(root));
  await store.probe();
  return store;
}

class FolderStore implements ArtifactStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /**
   * Creates the folder and writes and removes a hidden file, so that a wrong path is told at start.
   */
  async probe(): Promise<void> {
    const path = join(this.#root, partName("probe"));
    await this.#guarded(path, async () => {
      await createFolder(this.#root);
      const file = await open(path, "wx");
      await file.close();
      await rm(path);
    });
  }

  async put(key: string, source: Uint8Array | AsyncIterable<Uint8Array>): Promise<Artifact> {
    const path = this.localPath(key);
    const part = join(dirname(path), partName(path.slice(path.lastIndexOf(sep) + 1)));
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
    const content = await this.#guarded(from, () => digestAndSync(from));
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

  async list(prefix: string): Promise<readonly ArtifactHead[]> {
    checkPrefix(prefix);
    const found: ArtifactHead[] = [];
    const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    await this.#guarded(join(this.#root, folder), () => this.#walk(folder, prefix, found));
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async delete(key: string): Promise<void> {
    const path = this.localPath(key);
    await this.#guarded(path, async () => {
      await rm(path, { force: true });
      await removeEmptyFolders(dirname(path), this.#root);
    });
  }

  localPath(key: string): string {
    checkKey(key);
    return join(this.#root, key);
  }

  /**
   * Collects the artifacts below `folder` (a key prefix ending in "/", or "") that begin with
   * `prefix`.
   */
  async #walk(folder: string, prefix: string, found: ArtifactHead[]): Promise<void> {
    for (const entry of await entriesOf(join(this.#root, folder))) {
      const key = folder + entry.name;
      if (entry.name.startsWith(".")) continue;
      if (entry.isDirectory()) {
        const below = `${key}/`;
        if (below.startsWith(prefix) || prefix.startsWith(below)) {
          await this.#walk(below, prefix, found);
        }
      } else if (key.startsWith(prefix)) {
        const head = await headOf(key, join(this.#root, key));
        if (head !== undefined) found.push(head);
      }
    }
  }

  async #guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw error instanceof FarmError ? error : ioError(path, error);
    }
  }
}

/** A hidden name beside the artifact, so that no key can name it and no two writers share it. */
function partName(name: string): string {
  return `.${name}.${randomBytes(6).toString("hex")}.part`;
}

async function openInNewFolder(path: string): Promise<FileHandle> {
  for (let attempt = 1; ; attempt += 1) {
    await createFolder(dirname(path));
    try {
      return await open(path, "wx");
    } catch (error) {
      if (!hasCode(error, "ENOENT") || attempt === openTriesMax) throw error;
    }
  }
}

/** False when the two lie on different file systems, so that the file has to be copied. */
async function renameIntoNewFolder(from: string, path: string): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    await createFolder(dirname(path));
    try {
      await rename(from, path);
      await syncFolder(dirname(path));
      return true;
    } catch (error) {
      if (hasCode(error, "EXDEV")) return false;
      if (!hasCode(error, "ENOENT") || attempt === openTriesMax) throw error;
    }
  }
}

/** Creates the folder with its parents and syncs each folder that got a new entry. */
async function createFolder(folder: string): Promise<void> {
  const first = await makeFolders(folder);
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) {
    await syncFolder(dirname(made));
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

interface Content {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Writes everything, syncs and closes the file. */
async function writeAndSync(
  file: FileHandle,
  source: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<Content> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  try {
    for await (const chunk of source instanceof Uint8Array ? [source] : source) {
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
      await file.writeFile(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { sha256: hash.digest("hex"), sizeBytes };
}

async function digestAndSync(path: string): Promise<Content> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of readChunks(path)) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
  }
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  return { sha256: hash.digest("hex"), sizeBytes };
}

async function* readChunks(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, "r");
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(chunkBytes), 0, chunkBytes);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

async function headOf(key: string, path: string): Promise<ArtifactHead | undefined> {
  try {
    const found = await stat(path);
    if (!found.isFile()) return undefined;
    return { key, sizeBytes: found.size, modifiedAtMs: found.mtimeMs };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function entriesOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

/** Removes the folder and its parents up to the root while they are empty. */
async function removeEmptyFolders(folder: string, root: string): Promise<void> {
  for (let empty = folder; empty.length > root.length; empty = dirname(empty)) {
    try {
      await rmdir(empty);
    } catch (error) {
      if (hasCode(error, "ENOTEMPTY") || hasCode(error, "EEXIST") || hasCode(error, "EBUSY"))
        return;
      if (!isAbsent(error)) throw error;
    }
  }
}

function isAbsent(error: unknown): boolean {
  return hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR");
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

const remedies: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: free some space or choose another folder",
  EDQUOT: "the disk quota is used up: free some space or choose another folder",
  EACCES: "permission denied: make the folder writable for this user or choose another one",
  EPERM: "not permitted: make the folder writable for this user or choose another one",
  EROFS: "the file system is read-only: choose another folder",
  ENOTDIR: "a part of the path is a file, not a folder: remove it or choose another folder",
  EISDIR: "a folder is in the way: remove it",
  ENOENT: "there is no such file",
};

function ioError(path: string, error: unknown): FarmError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const what = remedies[code] ?? (error instanceof Error ? error.message : String(error));
  return new FarmError("IO", `${path}: ${what}`, { cause: error });
}
