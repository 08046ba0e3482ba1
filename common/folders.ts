// Makes folders. Node's own recursive mkdir tries for ever where the kernel makes no folders at all
// (below /proc, for one), which would turn a mistyped path into a command that never ends.
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

// Somebody may remove an empty parent just after it was made; nobody does so again and again.
const triesMax = 4;

/**
 * Makes the folder and the parents that are missing, and resolves to the outermost one it made, or
 * undefined when all were there. Throws the system's error.
 */
export async function makeFolders(folder: string, mode = 0o777): Promise<string | undefined> {
  let outermost: string | undefined;
  for (let tries = 1; ; tries += 1) {
    try {
      await mkdir(folder, { mode });
      return outermost ?? folder;
    } catch (error) {
      if (hasCode(error, "EEXIST") && (await isFolder(folder))) return outermost;
      const parent = dirname(folder);
      if (!hasCode(error, "ENOENT") || parent === folder || tries === triesMax) throw error;
      outermost = (await makeFolders(parent, mode)) ?? outermost;
    }
  }
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() === true;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
