import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lockFolder } from "./folder-lock.js";

test("a data folder has one owner at a time, whatever it is called", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-lock-"));
  t.after(() => rm(folder, { recursive: true }));
  const lock = await lockFolder(join(folder, "data"));
  await assert.rejects(lockFolder(join(folder, "x", "..", "data")), {
    code: "FAILED_PRECONDITION",
    message: /in use by another process: stop it or choose another --data/,
  });
  await lock.release();
  const again = await lockFolder(join(folder, "data"));
  await again.release();
});

test("a data folder that cannot be made is told with its path", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-lock-"));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "file"), "");
  await assert.rejects(lockFolder(join(folder, "file", "data")), {
    code: "IO",
    message: /file\/data cannot be made/,
  });
});
