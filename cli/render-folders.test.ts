import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { lockFolder } from "../common/folder-lock.js";
import { removeAbandoned, withRenderFolder } from "./render-folders.js";

test("a render takes away old folders of killed ones, and no others", async (t) => {
  const root = mkdtempSync(path.join(tmpdir(), "tocafarm-renders-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const twoDaysAgo = (Date.now() - 2 * 24 * 3600 * 1000) / 1000;
  for (const name of ["render-old", "render-young", "render-locked", "keep-old"]) {
    mkdirSync(path.join(root, name));
    writeFileSync(path.join(root, name, "file"), "x");
    if (name !== "render-young") utimesSync(path.join(root, name), twoDaysAgo, twoDaysAgo);
  }
  const lock = await lockFolder(path.join(root, "render-locked"));
  await removeAbandoned(root, Date.now());
  assert.deepEqual(readdirSync(root).sort(), ["keep-old", "render-locked", "render-young"]);
  await lock.release();
  let during: readonly string[] = [];
  await withRenderFolder(root, async (folder) => {
    during = readdirSync(root);
    assert.ok(during.includes(path.basename(folder)));
  });
  assert.equal(during.includes("render-locked"), false);
  assert.deepEqual(readdirSync(root).sort(), ["keep-old", "render-young"]);
});
