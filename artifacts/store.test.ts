// What every artifact store promises, held against each kind: a folder, and S3 on a real server.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, type TestContext, test } from "node:test";
import { keysOf } from "../test/support/artifact-keys.js";
import { S3Server } from "../test/support/s3-server.js";
import { openStore } from "./open.js";
import type { ArtifactStore } from "./port.js";

interface Opened {
  readonly store: ArtifactStore;
  /** Opens the same store as another process would. */
  readonly again: () => Promise<ArtifactStore>;
}

type Open = (t: TestContext) => Promise<Opened>;

async function openInFolder(t: TestContext): Promise<Opened> {
  const base = await newFolder(t);
  const again = () => openStore(join(base, "artifacts"));
  return { store: await again(), again };
}

const server = await S3Server.start();
after(() => server.dispose());
let stores = 0;

async function openOnServer(): Promise<Opened> {
  stores += 1;
  const location = server.location(`store-${stores}`);
  const again = () => openStore(location);
  return { store: await again(), again };
}

describe("in a folder", () => promises(openInFolder));
describe("in a bucket", () => promises(openOnServer));

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-store-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) {
    assert.ok(chunk.byteLength <= 256 * 1024, "a chunk is larger than promised");
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

const sha256 = (content: string | Buffer) => createHash("sha256").update(content).digest("hex");

function promises(open: Open): void {
  test("what is put can be read, named, listed and deleted", async (t) => {
    const { store } = await open(t);
    const key = "clips/b0.000001/1/video.mp4";
    const put = await store.put(key, Buffer.from("frames"));
    assert.deepEqual(put, { key, sha256: sha256("frames"), sizeBytes: 6 });
    assert.equal((await bytesOf(store.get(key))).toString(), "frames");
    const head = await store.head(key);
    assert.deepEqual([head?.key, head?.sizeBytes], [key, 6]);
    const ageMs = Date.now() - (head?.modifiedAtMs ?? 0);
    assert.ok(Math.abs(ageMs) < 60_000, `stored ${ageMs} ms ago`);
    await store.put("clips/b0.000001/2/video.mp4", Buffer.from("other"));
    await store.put("blobs/x", Buffer.from(""));
    assert.deepEqual(await keysOf(store, "clips/b0.000001/"), [key, "clips/b0.000001/2/video.mp4"]);
    assert.deepEqual(await keysOf(store, "clips/b0.000001/1"), [key]);
    assert.deepEqual((await keysOf(store)).length, 3);
    assert.deepEqual(await keysOf(store, "nothing/"), []);
    assert.equal((await bytesOf(store.get("blobs/x"))).length, 0);
    await store.delete(key);
    await store.delete(key);
    assert.equal(await store.head(key), undefined);
  });

  test("another process sees what was put", async (t) => {
    const { store, again } = await open(t);
    await store.put("blobs/x", Buffer.from("one"));
    const other = await again();
    assert.equal((await bytesOf(other.get("blobs/x"))).toString(), "one");
    await other.put("blobs/x", Buffer.from("two"));
    assert.equal((await bytesOf(store.get("blobs/x"))).toString(), "two");
  });

  test("a stream of chunks is stored whole, and replaces what was there", async (t) => {
    const { store } = await open(t);
    await store.put("blobs/x", Buffer.from("a longer text than the next"));
    async function* chunks() {
      yield Buffer.from("one ");
      yield Buffer.from("two");
    }
    const { sha256: digest } = await store.put("blobs/x", chunks());
    assert.equal(digest, sha256("one two"));
    assert.equal((await bytesOf(store.get("blobs/x"))).toString(), "one two");
  });

  test("a content of many parts keeps its bits, as bytes, stream and file", async (t) => {
    const { store } = await open(t);
    const content = randomBytes(17 * 2 ** 20 + 1);
    async function* chunks() {
      for (let at = 0; at < content.length; at += 999_983) yield content.subarray(at, at + 999_983);
    }
    const file = join(await newFolder(t), "video.mp4");
    await writeFile(file, content);
    const expected = { sha256: sha256(content), sizeBytes: content.length };
    assert.deepEqual(await store.put("blobs/a", content), { key: "blobs/a", ...expected });
    assert.deepEqual(await store.put("blobs/b", chunks()), { key: "blobs/b", ...expected });
    assert.deepEqual(await store.putFile("blobs/c", file), { key: "blobs/c", ...expected });
    for (const key of ["blobs/a", "blobs/b", "blobs/c"]) {
      assert.equal(sha256(await bytesOf(store.get(key))), expected.sha256, key);
    }
  });

  test("a source that fails leaves neither an artifact nor a part of one", async (t) => {
    const { store } = await open(t);
    for (const chunkBytes of [4, 5 * 2 ** 20]) {
      async function* broken() {
        for (let count = 0; count < 4; count += 1) yield Buffer.alloc(chunkBytes);
        throw new Error("the sender is gone");
      }
      const gone = { code: "IO", message: /blobs\/x: the sender is gone/ };
      await assert.rejects(store.put("blobs/x", broken()), gone);
      assert.deepEqual(await keysOf(store), []);
      assert.equal(await store.sweepParts(0), 0, "something was left behind");
    }
  });

  test("a file is moved into the store", async (t) => {
    const { store } = await open(t);
    const file = join(await newFolder(t), "video.mp4");
    await writeFile(file, "frames");
    const key = "clips/c/1/video.mp4";
    assert.deepEqual(await store.putFile(key, file), {
      key,
      sha256: sha256("frames"),
      sizeBytes: 6,
    });
    assert.ok(!existsSync(file));
    assert.equal((await bytesOf(store.get(key))).toString(), "frames");
    await assert.rejects(store.putFile("clips/c/2/video.mp4", file), {
      code: "IO",
      message: /video\.mp4: there is no such file/,
    });
    assert.deepEqual(await keysOf(store), [key]);
  });

  test("a key that leaves the store or hides in it is refused", async (t) => {
    const { store } = await open(t);
    const long = "x".repeat(201);
    const refused = { code: "INVALID_ARGUMENT" };
    for (const key of [
      "",
      "/a",
      "a/",
      "a//b",
      "../a",
      "a/../b",
      ".",
      "a/.b",
      "a b",
      "a\\b",
      long,
    ]) {
      await assert.rejects(store.put(key, Buffer.from("")), refused, key);
      await assert.rejects(store.putFile(key, "/dev/null"), refused, key);
      await assert.rejects(store.head(key), refused, key);
      await assert.rejects(store.delete(key), refused, key);
      await assert.rejects(bytesOf(store.get(key)), refused, key);
    }
    await assert.rejects(keysOf(store, "../"), refused);
  });

  test("an artifact that is not there is NOT_FOUND with its key", async (t) => {
    const { store } = await open(t);
    await assert.rejects(bytesOf(store.get("blobs/x")), {
      code: "NOT_FOUND",
      message: /artifact blobs\/x is not in/,
    });
    assert.equal(await store.head("blobs/x"), undefined);
  });

  test("writers of the same key leave one of their contents, whole", async (t) => {
    const { store, again } = await open(t);
    const other = await again();
    const contents = Array.from({ length: 8 }, (_, index) => Buffer.alloc(9 * 2 ** 20, index + 1));
    await Promise.all(
      contents.map((content, index) => (index % 2 ? store : other).put("blobs/x", content)),
    );
    const found = await bytesOf(store.get("blobs/x"));
    assert.ok(contents.some((content) => content.equals(found)));
    assert.deepEqual(await keysOf(store), ["blobs/x"]);
    assert.equal(await store.sweepParts(0), 0);
  });

  test("a reader gets the old content or the new one, whole, while it is replaced", async (t) => {
    const { store } = await open(t);
    const contents = [1, 2].map((fill) => Buffer.alloc(300_000, fill));
    const [first = Buffer.alloc(0)] = contents;
    await store.put("blobs/x", first);
    let reading = true;
    const writing = (async () => {
      for (let round = 0; reading; round += 1) {
        await store.put("blobs/x", contents[round % 2] ?? first);
      }
    })();
    try {
      for (let round = 0; round < 20; round += 1) {
        const found = await bytesOf(store.get("blobs/x"));
        assert.ok(contents.some((content) => content.equals(found)));
      }
    } finally {
      reading = false;
      await writing;
    }
  });

  test("every key is listed once, also while keys are deleted", async (t) => {
    const { store } = await open(t);
    const keys = Array.from({ length: 60 }, (_, index) => `blobs/${index % 7}/${index}`).sort();
    await Promise.all(keys.map((key) => store.put(key, Buffer.from(key))));
    assert.deepEqual(await keysOf(store, "blobs/"), keys);
    for await (const { key, sizeBytes } of store.list("")) {
      assert.equal(sizeBytes, key.length);
      await store.delete(key);
    }
    assert.deepEqual(await keysOf(store), []);
  });

  test("a reader may stop early", async (t) => {
    const { store } = await open(t);
    await store.put("blobs/x", Buffer.alloc(2 * 2 ** 20));
    for await (const chunk of store.get("blobs/x")) {
      assert.ok(chunk.byteLength > 0);
      break;
    }
    assert.equal((await bytesOf(store.get("blobs/x"))).length, 2 * 2 ** 20);
  });
}
