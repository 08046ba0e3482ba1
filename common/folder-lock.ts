// One owner for a data folder. The lock is an abstract Unix socket named after the folder's inode:
// the kernel frees it with its process, however that ends, so there is never a stale lock to judge.
// It sees the processes of one network namespace; containers that share a folder need a folder each
// anyway.
import { stat } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { resolve } from "node:path";
import { FarmError } from "./errors.js";
import { makeFolders } from "./folders.js";

export interface FolderLock {
  /** Absolute. */
  readonly folder: string;
  release(): Promise<void>;
}

/**
 * Creates the folder if need be and takes its lock. Throws FAILED_PRECONDITION when another process
 * has it, IO when the folder cannot be made; both name the option by which another can be chosen.
 */
export async function lockFolder(path: string, option = "--data"): Promise<FolderLock> {
  const folder = resolve(path);
  const name = `\0tocafarm/${await identityOf(folder, option)}`;
  const socket = createServer((connection) => connection.destroy());
  try {
    await listen(socket, name);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    throw new FarmError(
      "FAILED_PRECONDITION",
      `the folder ${folder} is in use by another process: stop it or choose another ${option}`,
    );
  }
  socket.unref();
  return {
    folder,
    release: () => new Promise((done) => socket.close(() => done())),
  };
}

async function identityOf(folder: string, option: string): Promise<string> {
  try {
    await makeFolders(folder);
    const { dev, ino } = await stat(folder, { bigint: true });
    return `${dev}/${ino}`;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FarmError(
      "IO",
      `the folder ${folder} cannot be made: ${reason}; choose another ${option}`,
      { cause: error },
    );
  }
}

function listen(socket: Server, name: string): Promise<void> {
  return new Promise((resolved, rejected) => {
    socket.once("error", rejected);
    socket.listen(name, resolved);
  });
}
