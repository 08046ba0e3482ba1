import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { writeWhole } from "./comparison.js";

test("a file that cannot be written is named, and leaves no part behind", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tocafarm-whole-"));
  t.after(() => rmSync(folder, { recursive: true }));
  await writeWhole(join(folder, "report.json"), "{}");
  assert.equal(readFileSync(join(folder, "report.json"), "utf8"), "{}");
  const taken = join(folder, "report.html");
  mkdirSync(taken);
  await assert.rejects(writeWhole(taken, ""), {
    code: "IO",
    message: /report\.html cannot be written: E/,
  });
  assert.deepEqual(readdirSync(folder).sort(), ["report.html", "report.json"]);
});
