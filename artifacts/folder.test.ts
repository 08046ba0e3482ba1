import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { keysOf } from "../test/support/artifact-keys.js";
import { openFolderStore } from "./folder.js";
import type { ArtifactStore } from "./port.js";

async function newStore(t: TestContext): Promise<{ store: ArtifactStore; root: string }> {
  const base = await mkdtemp(join(tmpdir(), "tocafarm-store-"));
  t.after(() => rm(base, { recursive: true, force: true }));
  const root = join(base, "artifacts");
  return { store: await openFolderStore(root), root };
}

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

/** Every name below the folder, hidden ones included. */
async function everything(root: string): Promise<readonly string[]> {
  return (await readdir(root, { recursive: true })).sort();
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

test("a key is a path below the folder, and an empty folder goes with its last file", async (t) => {
  const { store, root } = await newStore(t);
  const key = "clips/b0.000001/1/video.mp4";
  await store.put(key, Buffer.from("frames"));
  assert.equal(store.localPath?.(key), join(root, key));
  assert.equal(await readFile(join(root, key), "utf8"), "frames");
  assert.throws(() => store.localPath?.("../a"), { code: "INVALID_ARGUMENT" });
  await store.put("clips/b0.000001/2/video.mp4", Buffer.from("other"));
  await store.delete(key);
  assert.ok(!existsSync(join(root, "clips/b0.000001/1")));
  assert.ok(existsSync(join(root, "clips/b0.000001/2")));
  assert.equal(store.link, undefined, "a folder serves no HTTP");
});

test("part files of writers that died are hidden, and go when they are old", async (t) => {
  const { store, root } = await newStore(t);
  await store.put("clips/a/1/video.mp4", Buffer.from("frames"));
  const old = join(root, "clips/a/1/.video.mp4.0123456789ab.part");
  const young = join(root, "clips/b/1/.video.mp4.0123456789ab.part");
  const folder = join(root, ".doctor.0123456789ab.part");
  await mkdir(join(root, "clips/b/1"), { recursive: true });
  await mkdir(folder);
  for (const file of [old, young, join(folder, "x")]) await writeFile(file, "fra");
  const twoDaysAgo = Date.now() / 1000 - 2 * 24 * 3600;
  for (const path of [old, folder]) await utimes(path, twoDaysAgo, twoDaysAgo);
  assert.deepEqual(await keysOf(store), ["clips/a/1/video.mp4"]);
  assert.equal(await store.sweepParts(24 * 3600 * 1000), 2);
  assert.ok(!existsSync(old) && existsSync(young) && !existsSync(folder));
  assert.equal(await store.sweepParts(-60_000), 1);
  assert.deepEqual(await everything(join(root, "clips")), ["a", "a/1", "a/1/video.mp4"]);
});

test("folders of many files are listed whole", async (t) => {
  const { store, root } = await newStore(t);
  const keys = Array.from({ length: 1_203 }, (_, index) => `blobs/${index}`).sort();
  await mkdir(join(root, "blobs"));
  await Promise.all(keys.map((key) => writeFile(join(root, key), "")));
  assert.deepEqual(await keysOf(store), keys);
});

test("a source that fails leaves neither an artifact nor a part of one", async (t) => {
  const { store, root } = await newStore(t);
  async function* broken() {
    yield Buffer.from("one ");
    throw new Error("the sender is gone");
  }
  await assert.rejects(store.put("blobs/x", broken()), { code: "IO", message: /sender is gone/ });
  assert.deepEqual(await everything(root), ["blobs"]);
});

test("a file is copied where it cannot be renamed", {
  skip: !existsSync("/dev/shm"),
}, async (t) => {
  const { store } = await newStore(t);
  const folder = await mkdtemp("/dev/shm/tocafarm-store-");
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "video.mp4"), "frames");
  const stored = await store.putFile("clips/c/1/video.mp4", join(folder, "video.mp4"));
  assert.equal(stored.sha256, sha256("frames"));
  assert.ok(!existsSync(join(folder, "video.mp4")));
});

test("a folder that cannot be written to is told with path and remedy", async (t) => {
  const { root } = await newStore(t);
  await writeFile(join(root, "file"), "");
  await assert.rejects(openFolderStore(join(root, "file", "artifacts")), {
    code: "IO",
    message: /artifacts.*: a part of the path is a file, not a folder/,
  });
});

test("a folder in the place of an artifact is told, and no part is left", async (t) => {
  const { store, root } = await newStore(t);
  await mkdir(join(root, "blobs", "x", "y"), { recursive: true });
  await assert.rejects(store.put("blobs/x", Buffer.from("a")), { code: "IO" });
  assert.deepEqual(await everything(root), ["blobs", "blobs/x", "blobs/x/y"]);
});

test("a delete that removes the empty folder does not disturb a put beside it", async (t) => {
  const { store } = await newStore(t);
  for (let round = 0; round < 50; round += 1) {
    await store.put("a/b/c", Buffer.from("1"));
    await Promise.all([store.delete("a/b/c"), store.put("a/b/d", Buffer.from("2"))]);
    assert.equal(await textOf(store.get("a/b/d")), "2");
    await store.delete("a/b/d");
  }
});

/** A file system of its own below the temporary folder; undefined when we may not mount one. */
async function smallDisk(t: TestContext, limit: string): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-full-"));
  t.after(async () => {
    spawnSync("umount", [folder]);
    await rm(folder, { recursive: true, force: true });
  });
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", limit, "tmpfs", folder]);
  if (status === 0) return folder;
  t.skip("only root can mount a small file system");
  return undefined;
}

test("a full disk is told with path and remedy, and no part is left", async (t) => {
  const folder = await smallDisk(t, "size=256k");
  if (folder === undefined) return;
  const root = join(folder, "artifacts");
  const store = await openFolderStore(root);
  const full = {
    code: "IO",
    message: /artifacts\/blobs\/x: no space left, the disk is full: free/,
  };
  await assert.rejects(store.put("blobs/x", Buffer.alloc(2 ** 20)), full);
  const file = await mkdtemp(join(tmpdir(), "tocafarm-file-"));
  t.after(() => rm(file, { recursive: true, force: true }));
  await writeFile(join(file, "video.mp4"), Buffer.alloc(2 ** 20));
  await assert.rejects(store.putFile("blobs/x", join(file, "video.mp4")), full);
  assert.ok(existsSync(join(file, "video.mp4")), "the file is still where it was");
  assert.deepEqual(await everything(root), ["blobs"]);
  await store.put("blobs/y", Buffer.alloc(1000, "small"));
  await assert.rejects(store.put("blobs/y", Buffer.alloc(2 ** 20)), { code: "IO" });
  assert.equal((await store.head("blobs/y"))?.sizeBytes, 1000, "the old content is gone");
});

test("a disk without room for another file is told too, wherever that strikes", async (t) => {
  const folder = await smallDisk(t, "size=1m,nr_inodes=12");
  if (folder === undefined) return;
  const root = join(folder, "artifacts");
  const store = await openFolderStore(root);
  let stored = 0;
  const fill = async () => {
    for (; stored < 20; stored += 1) await store.put(`blobs/${stored}/x`, Buffer.from("x"));
  };
  await assert.rejects(fill(), { code: "IO", message: /no space left, the disk is full/ });
  assert.equal((await keysOf(store)).length, stored);
  const hidden = (await everything(root)).filter((name) => name.endsWith(".part"));
  assert.deepEqual(hidden, []);
  await store.delete("blobs/0/x");
  await store.put("blobs/0/y", Buffer.from("y"));
  await assert.rejects(openFolderStore(join(folder, "other", "store", "deep")), {
    code: "IO",
    message: /other.*: no space left/,
  });
});
