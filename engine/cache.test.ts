import assert from "node:assert/strict";
import { homedir } from "node:os";
import { test } from "node:test";
import { engineCache } from "./cache.js";

test("the cache lies where it is told to, else in the user's cache folder", () => {
  const weightsBytesMax = 64 * 2 ** 30;
  const at = (folder: string) => ({ folder, weightsBytesMax });
  assert.deepEqual(engineCache("/somewhere", {}), at("/somewhere"));
  assert.deepEqual(engineCache("below", {}), at(`${process.cwd()}/below`));
  assert.deepEqual(engineCache(undefined, { XDG_CACHE_HOME: "/cache" }), at("/cache/tocafarm"));
  assert.deepEqual(engineCache("", {}), at(`${homedir()}/.cache/tocafarm`));
  assert.equal(engineCache("/a", {}, 2)?.weightsBytesMax, 2 ** 31);
});

test("the cache can be switched off", () => {
  assert.equal(engineCache("off", { XDG_CACHE_HOME: "/cache" }), null);
});
