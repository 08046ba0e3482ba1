// What a shared folder has to guarantee between machines, tried out on the folder itself: this
// process writes as a worker would, another one looks.
import { mkdir, open, readFile, realpath, rename, rm, stat, statfs } from "node:fs/promises";
import path from "node:path";
import { syncFolder } from "../artifacts/folder-files.js";
import { partName } from "../artifacts/part-name.js";
import { sleep } from "../common/clock.js";
import { checked, type Finding, missing, note, ok } from "./findings.js";
import { createAll } from "./folder-peer.js";
import { PeerProcess } from "./folder-peer-process.js";
import { versionText } from "./folder-probe.js";
import { mountFinding } from "./mounts.js";
import { bytes } from "./table.js";

/** A clip with its trace, some checkpoints and room. */
const freeBytesMin = 1024 ** 3;
/** Renames over one name, at most this long. */
const renamesMax = 1_000;
const renamesMsMax = 2_000;
/** Names that both sides try to create. */
const racesMax = 200;
/** Files that are looked for before and after they appear. */
const looksMax = 20;
const lookAgainMs = 50;
/** Longer than a network file system remembers by default that a file was not there. */
const appearMsMax = 65_000;
/** Files are swept by their age in days; clocks within minutes of each other are good enough. */
const clockMsMax = 60_000;
const speedBytes = 32 * 1024 ** 2;

interface Sides {
  /** A hidden folder of this run, here. */
  readonly folder: string;
  /** The same as a name below the store's folder, for the other side. */
  readonly name: string;
  readonly peer: PeerProcess;
}

/** Every check of a folder that exists; `peerCommand` starts the other side on another machine. */
export async function folderFindings(
  root: string,
  peerCommand: string | undefined,
): Promise<readonly Finding[]> {
  const name = partName("doctor");
  const sides: Sides = {
    name,
    folder: path.join(root, name),
    peer: new PeerProcess(root, peerCommand),
  };
  const found: Finding[] = [];
  try {
    found.push(await checked("mount", () => mountOf(root)));
    found.push(await checked("free space", () => freeSpace(root)));
    await mkdir(sides.folder);
    for (const [what, check] of checks) {
      found.push(await checked(what, () => check(sides)));
      if (what === "other side" && found.at(-1)?.status === "missing") break;
    }
  } finally {
    sides.peer.stop();
    await rm(sides.folder, { recursive: true, force: true });
  }
  return found;
}

const checks: readonly (readonly [string, (sides: Sides) => Promise<Finding>])[] = [
  ["fsync", syncs],
  ["speed", speed],
  ["other side", otherSide],
  ["seen by others", seenByOthers],
  ["rename replaces", renameReplaces],
  ["exclusive create", exclusiveCreate],
  ["clocks", clocks],
];

async function mountOf(root: string): Promise<Finding> {
  return mountFinding(await readFile("/proc/self/mountinfo", "utf8"), await realpath(root));
}

async function freeSpace(root: string): Promise<Finding> {
  const { bavail, bsize, ffree, files } = await statfs(root);
  const free = bavail * bsize;
  const found = `${bytes(free)}, ${files === 0 ? "any number of" : ffree} files`;
  if (free < freeBytesMin) return note("free space", found, `free ${bytes(freeBytesMin)} or more`);
  return ok("free space", found);
}

/** Writes a file as the store does, under a part name first. */
async function writeFileWhole({ folder }: Sides, name: string, text: string): Promise<void> {
  const part = path.join(folder, `${name}.part`);
  await writeSynced(part, text);
  await rename(part, path.join(folder, name));
  await syncFolder(folder);
}

async function writeSynced(name: string, content: string | Buffer): Promise<void> {
  const file = await open(name, "w");
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncs(sides: Sides): Promise<Finding> {
  const tookMs: number[] = [];
  for (let count = 0; count < looksMax; count += 1) {
    const beganMs = performance.now();
    await writeFileWhole(sides, "synced", "x".repeat(4096));
    tookMs.push(performance.now() - beganMs);
  }
  const median = tookMs.sort((a, b) => a - b)[looksMax / 2] ?? 0;
  return ok("fsync", `of file and folder; ${median.toFixed(1)} ms for a small file`);
}

async function speed({ folder }: Sides): Promise<Finding> {
  const name = path.join(folder, "speed");
  const beganMs = performance.now();
  try {
    await writeSynced(name, Buffer.alloc(speedBytes, "tocafarm"));
  } finally {
    await rm(name, { force: true });
  }
  const seconds = (performance.now() - beganMs) / 1000;
  return ok("speed", `${bytes(speedBytes / seconds)}/s written and synced`);
}

async function otherSide(sides: Sides): Promise<Finding> {
  const { name, peer } = sides;
  await writeFileWhole(sides, "here", "here");
  const { text } = await peer.tell({ do: "look", name: path.join(name, "here") });
  if (text === "here") return ok("other side", "sees this folder");
  return missing("other side", "sees another folder", "give it the same folder, as it is there");
}

/**
 * Whoever is told of a file must find it: that is what the farm relies on. A side that looked for
 * it before may remember for a while that it was not there.
 */
async function seenByOthers(sides: Sides): Promise<Finding> {
  const toldMs = await appearMs(sides, { soughtBefore: false });
  const soughtMs = await appearMs(sides, { soughtBefore: true });
  const text = (ms: number) =>
    ms < appearMsMax ? `${(ms / 1000).toFixed(1)} s` : `more than ${appearMsMax / 1000} s`;
  if (toldMs > 0) {
    const found = `${text(toldMs)} after its rename`;
    return missing("seen by others", found, "use a file system with close-to-open consistency");
  }
  if (soughtMs > 0) {
    const found = `a file that was sought before: ${text(soughtMs)} after its rename`;
    return note("seen by others", found, "mount with lookupcache=positive to see it at once");
  }
  return ok("seen by others", `${2 * looksMax} files, each at once after its rename`);
}

/** How long the other side does not see a file; 0 when it sees every one at the first look. */
async function appearMs(
  sides: Sides,
  { soughtBefore }: { readonly soughtBefore: boolean },
): Promise<number> {
  for (let count = 0; count < looksMax; count += 1) {
    const file = `${soughtBefore ? "sought" : "told"}-${count}`;
    const look = { do: "look", name: path.join(sides.name, file) } as const;
    if (soughtBefore) await sides.peer.tell(look);
    await writeFileWhole(sides, file, file);
    const writtenMs = performance.now();
    if ((await sides.peer.tell(look)).text === file) continue;
    const late = () => performance.now() - writtenMs;
    do await sleep(lookAgainMs);
    while ((await sides.peer.tell(look)).text !== file && late() < appearMsMax);
    return late();
  }
  return 0;
}

async function renameReplaces(sides: Sides): Promise<Finding> {
  const name = path.join(sides.name, "replaced");
  await writeFileWhole(sides, "replaced", versionText(1));
  const [watched, versions] = await Promise.all([
    sides.peer.tell({ do: "watch", name, last: renamesMax }),
    replaceAgainAndAgain(sides),
  ]);
  const { reads, absent, torn, backward, errors, ended } = watched;
  const found = `${reads} reads during ${versions} renames`;
  const faults = [
    absent > 0 ? `${absent} times there was no file` : "",
    torn > 0 ? `${torn} times half a file` : "",
    backward > 0 ? `${backward} times an older one` : "",
    ended ? "" : "the last one was never seen",
    ...errors,
  ].filter((fault) => fault !== "");
  if (faults.length === 0) return ok("rename replaces", `${found}: always one whole file`);
  const remedy = "use a file system whose rename replaces atomically, such as NFSv4 or CephFS";
  return missing("rename replaces", `${found}: ${faults.join(", ")}`, remedy);
}

/** Resolves to how often; the last version is always the same one. */
async function replaceAgainAndAgain(sides: Sides): Promise<number> {
  const endMs = performance.now() + renamesMsMax;
  let versions = 1;
  while (versions < renamesMax - 1 && performance.now() < endMs) {
    versions += 1;
    await writeFileWhole(sides, "replaced", versionText(versions));
  }
  await writeFileWhole(sides, "replaced", versionText(renamesMax));
  return versions;
}

async function exclusiveCreate({ name, folder, peer }: Sides): Promise<Finding> {
  const names = Array.from({ length: racesMax }, (_, index) => `race-${index}`);
  const there = peer.tell({
    do: "create",
    names: names.map((race) => path.join(name, race)),
    text: "there",
  });
  const [won, { won: lost }] = await Promise.all([createAll(folder, names, "here"), there]);
  const both = names.filter((_, index) => won[index] === lost[index]);
  const count = won.filter((mine) => mine).length;
  const found = `${racesMax} races: ${count} won here, ${lost.filter((its) => its).length} there`;
  if (both.length === 0) return ok("exclusive create", found);
  const remedy = "mount with NFSv4, or NFSv3 from a server that has exclusive create";
  return missing("exclusive create", found, remedy);
}

async function clocks({ folder, peer }: Sides): Promise<Finding> {
  const file = path.join(folder, "clock");
  const [beforeMs, handle] = [Date.now(), await open(file, "wx")];
  await handle.writeFile("x");
  await handle.close();
  const serverMs = (await stat(file)).mtimeMs;
  const afterMs = Date.now();
  const { nowMs } = await peer.tell({ do: "clock" });
  const peerOff = offMs(nowMs, afterMs, Date.now());
  const serverOff = offMs(serverMs, beforeMs, afterMs);
  const text = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const found = `the folder's differs by ${text(serverOff)}, the other side's by ${text(peerOff)}`;
  if (Math.max(serverOff, peerOff) <= clockMsMax) return ok("clocks", found);
  return missing("clocks", found, "set the clocks by NTP: files are swept by their age");
}

/** How far a time lies outside of a span. */
function offMs(ms: number, fromMs: number, toMs: number): number {
  return Math.max(fromMs - ms, ms - toMs, 0);
}
