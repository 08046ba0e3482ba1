import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
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

test("what is put can be read, named, listed and deleted", async (t) => {
  const { store, root } = await newStore(t);
  const key = "clips/b0.000001/1/video.mp4";
  const put = await store.put(key, Buffer.from("frames"));
  assert.deepEqual(put, { key, sha256: sha256("frames"), sizeBytes: 6 });
  assert.equal(await textOf(store.get(key)), "frames");
  assert.equal((await store.head(key))?.sizeBytes, 6);
  assert.equal(store.localPath?.(key), join(root, key));
  await store.put("clips/b0.000001/2/video.mp4", Buffer.from("other"));
  await store.put("blobs/x", Buffer.from(""));
  assert.deepEqual(await keysOf(store, "clips/b0.000001/"), [key, "clips/b0.000001/2/video.mp4"]);
  assert.deepEqual(await keysOf(store, "clips/b0.000001/1"), [key]);
  assert.deepEqual((await keysOf(store)).length, 3);
  assert.deepEqual(await keysOf(store, "nothing/"), []);
  await store.delete(key);
  await store.delete(key);
  assert.equal(await store.head(key), undefined);
  assert.ok(
    !existsSync(join(root, "clips/b0.000001/1")),
    "an empty folder goes with its last file",
  );
  assert.ok(existsSync(join(root, "clips/b0.000001/2")));
});

test("a stream of chunks is stored whole, and replaces what was there", async (t) => {
  const { store } = await newStore(t);
  await store.put("blobs/x", Buffer.from("a longer text than the next"));
  async function* chunks() {
    yield Buffer.from("one ");
    yield Buffer.from("two");
  }
  const { sha256: digest } = await store.put("blobs/x", chunks());
  assert.equal(digest, sha256("one two"));
  assert.equal(await textOf(store.get("blobs/x")), "one two");
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

test("a file is moved into the store", async (t) => {
  const { store, root } = await newStore(t);
  const file = join(root, "..", "video.mp4");
  await writeFile(file, "frames");
  const stored = await store.putFile("clips/c/1/video.mp4", file);
  assert.deepEqual(stored, { key: "clips/c/1/video.mp4", sha256: sha256("frames"), sizeBytes: 6 });
  assert.ok(!existsSync(file));
  assert.equal(await textOf(store.get("clips/c/1/video.mp4")), "frames");
  await assert.rejects(store.putFile("clips/c/2/video.mp4", file), {
    code: "IO",
    message: /video\.mp4: there is no such file/,
  });
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

test("a key that leaves the store or hides in it is refused", async (t) => {
  const { store } = await newStore(t);
  const long = "x".repeat(201);
  for (const key of ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a/.b", "a b", "a\\b", long]) {
    await assert.rejects(store.put(key, Buffer.from("")), { code: "INVALID_ARGUMENT" }, key);
  }
  await assert.rejects(keysOf(store, "../"), { code: "INVALID_ARGUMENT" });
  assert.throws(() => store.localPath?.("../a"), { code: "INVALID_ARGUMENT" });
});

test("an artifact that is not there is NOT_FOUND with its key", async (t) => {
  const { store } = await newStore(t);
  await assert.rejects(textOf(store.get("blobs/x")), {
    code: "NOT_FOUND",
    message: /artifact blobs\/x is not in/,
  });
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

test("writers of the same key leave one of their contents, whole", async (t) => {
  const { store, root } = await newStore(t);
  const contents = Array.from({ length: 8 }, (_, index) => String(index).repeat(100_000));
  await Promise.all(contents.map((text) => store.put("blobs/x", Buffer.from(text))));
  assert.ok(contents.includes(await textOf(store.get("blobs/x"))));
  assert.deepEqual(await everything(root), ["blobs", "blobs/x"]);
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

test("a full disk is told with path and remedy, and no part is left", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-full-"));
  t.after(async () => {
    spawnSync("umount", [folder]);
    await rm(folder, { recursive: true, force: true });
  });
  const tmpfs = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", folder];
  if (spawnSync("mount", tmpfs).status !== 0) {
    t.skip("only root can mount a small file system");
    return;
  }
  const store = await openFolderStore(join(folder, "artifacts"));
  const full = {
    code: "IO",
    message: /blobs\/x: no space left, the disk is full: free some space/,
  };
  await assert.rejects(store.put("blobs/x", Buffer.alloc(2 ** 20)), full);
  const file = await mkdtemp(join(tmpdir(), "tocafarm-file-"));
  t.after(() => rm(file, { recursive: true, force: true }));
  await writeFile(join(file, "video.mp4"), Buffer.alloc(2 ** 20));
  await assert.rejects(store.putFile("blobs/x", join(file, "video.mp4")), full);
  assert.ok(existsSync(join(file, "video.mp4")), "the file is still where it was");
  assert.deepEqual(await everything(join(folder, "artifacts")), ["blobs"]);
  await store.put("blobs/y", Buffer.from("small"));
});
