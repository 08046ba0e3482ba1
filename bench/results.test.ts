import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { pageWithTables } from "./result-tables.js";
import { changesSince, keepResult, latestResults } from "./results.js";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

function emptyFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "tocafarm-results-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("a result replaces its benchmark's of the same day, and the latest day counts", (t) => {
  const folder = emptyFolder(t);
  keepResult(folder, "gemm", { share: 0.8 }, new Date("2026-01-02T10:00:00Z"));
  keepResult(folder, "log", { rate: 5 }, new Date("2026-01-02T11:00:00Z"));
  const file = keepResult(folder, "gemm", { share: 0.9 }, new Date("2026-01-02T12:00:00Z"));
  keepResult(folder, "log", { rate: 6 }, new Date("2026-01-03T00:00:00Z"));
  writeFileSync(path.join(folder, "notes.json"), "{}");
  assert.deepEqual(latestResults(folder), { gemm: { share: 0.9 }, log: { rate: 6 } });
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")).measuredAt, {
    gemm: "2026-01-02T12:00:00.000Z",
    log: "2026-01-02T11:00:00.000Z",
  });
  assert.deepEqual(latestResults(path.join(folder, "absent")), {});
});

test("changes are told by place and size, the largest first, small ones not at all", () => {
  const before = { a: { ms: 100 }, list: [{ rate: 10 }], same: 4, name: "x" };
  const after = { a: { ms: 103 }, list: [{ rate: 5 }], same: 5, name: "y", added: 1 };
  assert.deepEqual(changesSince(before, after), [
    "list.0.rate: 10 -> 5 (-50 %)",
    "same: 4 -> 5 (+25 %)",
  ]);
  assert.deepEqual(changesSince(before, before), ["no figure has changed by 5 % or more"]);
  assert.deepEqual(changesSince(undefined, after), ["never measured before"]);
});

test("a marked table is made from the results, and nothing else of the page changes", () => {
  const line = { layer: "qkv", rows: 2, in: 3, out: 4, gflops: 90, bare_gflops: 100, share: 0.9 };
  const gemm = [
    { ...line, dtype: "fp32" },
    { ...line, dtype: "bf16", share: 0.8 },
  ];
  const mark = '<!-- made by "npm run bench gemm" -->';
  const made = pageWithTables(`before\n${mark}\nold\n<!-- end -->\nafter`, { gemm });
  assert.match(made, /^before\n<!-- made .*-->\n\n\| layer \|/);
  assert.match(
    made,
    /\| qkv \| 2 × 3 × 4 \| 90 \| 100 \| 90 % \| 90 \| 100 \| 80 % \|\n\n<!-- end/,
  );
  assert.match(made, /<!-- end -->\nafter$/);
  assert.doesNotMatch(made, /old/);
  assert.equal(pageWithTables(made, { gemm }), made);
  assert.equal(pageWithTables("no mark", { gemm }), "no mark");
  assert.throws(() => pageWithTables(`${mark}\nopen`, { gemm }), /has no end/);
});

test("docs/performance.md says what the latest results say", () => {
  const page = readFileSync(path.join(root, "docs", "performance.md"), "utf8");
  const results = latestResults(path.join(root, "bench", "results"));
  assert.equal(pageWithTables(page, results), page, 'run "npm run bench" or mend the table');
});
