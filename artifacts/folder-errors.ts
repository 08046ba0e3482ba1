// What the system says of a file, in words that tell what to do.
import { FarmError } from "../common/errors.js";

/** Whether the error is one of the system with this name, such as "ENOENT". */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/** Whether it says that the file, or a folder on the way to it, is not there. */
export function isAbsent(error: unknown): boolean {
  return hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR");
}

const remedies: Readonly<Record<string, string>> = {
  ENOSPC: "no space left, the disk is full: free some space or choose another folder",
  EDQUOT: "no space left, the disk quota is used up: free some space or choose another folder",
  EACCES: "permission denied: make the folder writable for this user or choose another one",
  EPERM: "not permitted: make the folder writable for this user or choose another one",
  EROFS: "the file system is read-only: choose another folder",
  ENOTDIR: "a part of the path is a file, not a folder: remove it or choose another folder",
  EISDIR: "a folder is in the way: remove it",
  ENOENT: "there is no such file",
  ESTALE: "another machine replaced or removed the file meanwhile: try again",
  ETIMEDOUT: "the file server does not answer: see that it runs, and mount the folder with `hard`",
};

/** IO, naming the path, what happened and what to do. */
export function ioError(path: string, error: unknown): FarmError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const what = remedies[code] ?? (error instanceof Error ? error.message : String(error));
  return new FarmError("IO", `${path}: ${what}`, { cause: error });
}
