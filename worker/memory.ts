// How much memory a render may still take on this host: what the kernel calls available, bounded by the
// control groups that this process is in (a container's limit is lower than the host's memory).
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FarmError } from "../common/errors.js";

/** Bytes that this process can still allocate. `root` is the file system's root, another one in tests. */
export async function availableBytes(root = "/"): Promise<number> {
  const limits = [...(await meminfoAvailable(root)), ...(await groupRooms(root))];
  return Math.max(0, Math.min(...limits));
}

/** Throws OUT_OF_MEMORY, naming needed and available, unless the render fits. */
export function checkMemory(neededBytes: number, availableBytes: number, what: string): void {
  if (neededBytes <= availableBytes) return;
  throw new FarmError(
    "OUT_OF_MEMORY",
    `${what} needs ${gibibytes(neededBytes)} and ${gibibytes(availableBytes)} are available: ` +
      "render fewer frames or a smaller size, or use a larger machine",
  );
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

async function meminfoAvailable(root: string): Promise<readonly number[]> {
  const text = await textOf(join(root, "proc/meminfo"));
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1];
  return kibibytes === undefined ? [] : [Number(kibibytes) * 1024];
}

/** Room left in each control group (version 2) from the process's own up to the root. */
async function groupRooms(root: string): Promise<readonly number[]> {
  const own = /^0::(\/.*)$/m.exec(await textOf(join(root, "proc/self/cgroup")))?.[1];
  if (own === undefined) return [];
  const names = own.split("/").filter((name) => name !== "" && name !== "..");
  const rooms: number[] = [];
  for (let depth = names.length; depth >= 0; depth -= 1) {
    const room = await groupRoom(join(root, "sys/fs/cgroup", ...names.slice(0, depth)));
    if (room !== undefined) rooms.push(room);
  }
  return rooms;
}

async function groupRoom(folder: string): Promise<number | undefined> {
  const limit = Number.parseInt(await textOf(join(folder, "memory.max")), 10);
  const used = Number.parseInt(await textOf(join(folder, "memory.current")), 10);
  if (Number.isNaN(limit) || Number.isNaN(used)) return undefined;
  const statistics = await textOf(join(folder, "memory.stat"));
  // File pages that nobody uses count as used but are given back when memory gets short.
  const reclaimable = Number(/^inactive_file (\d+)$/m.exec(statistics)?.[1] ?? 0);
  return limit - used + reclaimable;
}

/** "" when there is no such file: not every kernel has them all. */
async function textOf(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
