// A local file in the chunks in which blobs are uploaded.
import { type FileHandle, open } from "node:fs/promises";
import { FarmError } from "../common/errors.js";

// The largest chunk that UploadBlob takes.
const chunkBytes = 256 * 1024;

/** Throws NOT_FOUND or IO, naming the file, when it cannot be read. */
export async function checkReadable(file: string): Promise<void> {
  const handle = await openNamed(file);
  const isFolder = (await handle.stat()).isDirectory();
  await handle.close();
  if (isFolder) throw new FarmError("IO", `${file} cannot be read: it is a folder; name a file`);
}

/** Throws as checkReadable. */
export async function* readInChunks(file: string): AsyncGenerator<Uint8Array> {
  const handle = await openNamed(file);
  try {
    for (;;) {
      const chunk = Buffer.alloc(chunkBytes);
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes);
      if (bytesRead === 0) return;
      yield chunk.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

function openNamed(file: string): Promise<FileHandle> {
  return open(file, "r").catch((error: NodeJS.ErrnoException) => {
    const code = error.code === "ENOENT" ? "NOT_FOUND" : "IO";
    throw new FarmError(code, `${file} cannot be read: ${error.message}`);
  });
}
