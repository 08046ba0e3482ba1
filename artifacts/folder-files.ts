// Files and folders as a store in a folder needs them: whole, synced, and in the face of others who
// remove empty folders at the same time.
import { createHash } from "node:crypto";
import type { Dirent, Stats } from "node:fs";
import { type FileHandle, open, opendir, rename, rmdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolders } from "../common/folders.js";
import { hasCode, isAbsent } from "./folder-errors.js";

// Fits a gRPC message and is large enough that reading is bound by the disk.
const chunkBytes = 256 * 1024;
// A folder may be removed as empty by a delete between its creation and the first file in it.
const openTriesMax = 5;
// Folders of a million files are read in pieces of this many names.
const entriesAtOnce = 256;

/** Opens a file that must not be there yet, in a folder that is created. */
export async function openInNewFolder(path: string): Promise<FileHandle> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await createFolder(dirname(path));
      return await open(path, "wx");
    } catch (error) {
      if (!hasCode(error, "ENOENT") || attempt === openTriesMax) throw error;
    }
  }
}

/**
 * Moves a file; false when the two lie on different file systems, so that the file has to be
 * copied.
 */
export async function renameIntoNewFolder(from: string, path: string): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await createFolder(dirname(path));
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
export async function createFolder(folder: string): Promise<void> {
  const first = await makeFolders(folder);
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) {
    await syncFolder(dirname(made));
  }
}

/** Makes what was renamed, created or removed in the folder outlive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export interface Content {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Writes everything, syncs and closes the file. */
export async function writeAndSync(
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

/** What a file holds. */
export async function digestOf(path: string): Promise<Content> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of readChunks(path)) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
  }
  return { sha256: hash.digest("hex"), sizeBytes };
}

/** Makes what was written to the file by others outlive a power cut. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The file in chunks of at most 256 KiB. */
export async function* readChunks(path: string): AsyncGenerator<Uint8Array> {
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

/** What is in the folder, read a little at a time; nothing when there is none. */
export async function* entriesOf(folder: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(folder, { bufferSize: entriesAtOnce });
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}

export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Removes the folder and its parents up to the root while they are empty. */
export async function removeEmptyFolders(folder: string, root: string): Promise<void> {
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
