// A local file in the chunks in which blobs are uploaded.
import { open } from "node:fs/promises";
import { FarmError } from "../common/errors.js";

// The largest chunk that UploadBlob takes.
const chunkBytes = 256 * 1024;

/** Throws NOT_FOUND or IO, naming the file. */
export async function* readInChunks(file: string): AsyncGenerator<Uint8Array> {
  const handle = await open(file, "r").catch((error: NodeJS.ErrnoException) => {
    const code = error.code === "ENOENT" ? "NOT_FOUND" : "IO";
    throw new FarmError(code, `${file} cannot be read: ${error.message}`);
  });
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
