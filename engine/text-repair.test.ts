import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../common/paths.js";
import { repairText } from "./text-repair.js";

interface Case {
  readonly input: string;
  readonly output: string;
}

const file = path.join(packageRoot(), "engine", "testdata", "text-repair.json");
const cases: readonly Case[] = JSON.parse(readFileSync(file, "utf8"));

test("text is repaired as ftfy repairs it", () => {
  assert.ok(cases.length > 100);
  for (const { input, output } of cases) {
    assert.equal(repairText(input), output, JSON.stringify(input));
  }
});

test("repaired text stays as it is when it is repaired again", () => {
  for (const { output } of cases) assert.equal(repairText(output), output);
});

test("a half of a surrogate pair becomes a replacement character", () => {
  assert.equal(repairText("a\ud83db"), "a\ufffdb");
});

test("text without damage is left alone", () => {
  for (const text of ["", "plain", "naïve café à la carte", "привет мир", "Ελληνικά", "😀 中文"]) {
    assert.equal(repairText(text), text);
  }
});
