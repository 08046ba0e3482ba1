// Where things lie: the checkout or installed package that this code was built into, the default
// data folder, and the file by which a client finds the coordinator that runs on a data folder.

import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { FarmError } from "./errors.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** The folder of our package.json: dist/, proto/, build/ and .tools/ lie in it. */
export function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!isPackageRoot(folder)) {
    const parent = path.dirname(folder);
    if (parent === folder) {
      throw new FarmError("INTERNAL", `no package.json of tocafarm above ${import.meta.dirname}`);
    }
    folder = parent;
  }
  return folder;
}

/** $TOCAFARM_DATA, else the user's data folder as the XDG base directory rules say. */
export function defaultDataFolder(env: Environment): string {
  if (env["TOCAFARM_DATA"]) return path.resolve(env["TOCAFARM_DATA"]);
  const base = env["XDG_DATA_HOME"] || path.join(homedir(), ".local", "share");
  return path.join(base, "tocafarm");
}

/** The user's folder for what can be made again, as the XDG base directory rules say. */
export function defaultCacheFolder(env: Environment): string {
  const base = env["XDG_CACHE_HOME"] || path.join(homedir(), ".cache");
  return path.join(base, "tocafarm");
}

/** What a running coordinator says of itself in its data folder. */
export interface CoordinatorFile {
  readonly grpc: string;
  readonly http: string;
  readonly pid: number;
}

export function coordinatorFilePath(dataFolder: string): string {
  return path.join(dataFolder, "coordinator.json");
}

/** The file's content, or undefined when no coordinator wrote one (or it is unreadable). */
export function readCoordinatorFile(dataFolder: string): CoordinatorFile | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(coordinatorFilePath(dataFolder), "utf8"));
    return isCoordinatorFile(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Replaces the file in one step, so that no reader sees half of it. */
export function writeCoordinatorFile(dataFolder: string, content: CoordinatorFile): void {
  const file = coordinatorFilePath(dataFolder);
  writeFileSync(`${file}.part`, `${JSON.stringify(content)}\n`);
  renameSync(`${file}.part`, file);
}

/** Removes the file if it is still the one of this process. */
export function removeCoordinatorFile(dataFolder: string, pid: number): void {
  if (readCoordinatorFile(dataFolder)?.pid === pid) {
    rmSync(coordinatorFilePath(dataFolder), { force: true });
  }
}

function isPackageRoot(folder: string): boolean {
  try {
    const manifest: unknown = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"));
    return isRecord(manifest) && manifest["name"] === "tocafarm";
  } catch {
    return false;
  }
}

function isCoordinatorFile(value: unknown): value is CoordinatorFile {
  return (
    isRecord(value) &&
    typeof value["grpc"] === "string" &&
    typeof value["http"] === "string" &&
    typeof value["pid"] === "number"
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
