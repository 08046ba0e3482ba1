import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { makeFolders } from "./folders.js";

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-folders-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("missing parents are made too, and the outermost new folder is told", async (t) => {
  const root = await temporary(t);
  assert.equal(await makeFolders(join(root, "a", "b", "c")), join(root, "a"));
  assert.ok((await stat(join(root, "a", "b", "c"))).isDirectory());
  assert.equal(await makeFolders(join(root, "a", "b", "d")), join(root, "a", "b", "d"));
  assert.equal(await makeFolders(join(root, "a", "b")), undefined);
  assert.equal(await makeFolders("/"), undefined);
});

test("many callers at once all succeed", async (t) => {
  const root = await temporary(t);
  const made = await Promise.all(
    Array.from({ length: 20 }, (_, index) => makeFolders(join(root, "x", "y", `${index % 4}`))),
  );
  assert.ok(made.some((first) => first === join(root, "x")));
});

test("a file in the way, or a place where no folder can be, is an error", async (t) => {
  const root = await temporary(t);
  await writeFile(join(root, "file"), "");
  await mkdir(join(root, "folder"));
  await assert.rejects(makeFolders(join(root, "file")), { code: "EEXIST" });
  await assert.rejects(makeFolders(join(root, "file", "below")), { code: "ENOTDIR" });
  await assert.rejects(makeFolders("/proc/tocafarm/below"), { code: "ENOENT" });
});
