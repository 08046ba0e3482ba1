import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../common/paths.js";
import { markupToText } from "./prompt-markup.js";

interface Case {
  readonly input: string;
  readonly output: string;
}

const file = path.join(packageRoot(), "engine", "testdata", "markup.json");
const cases: readonly Case[] = JSON.parse(readFileSync(file, "utf8"));

test("markup gives the text that Python's parser finds in it", () => {
  assert.ok(cases.length > 90);
  for (const { input, output } of cases) {
    assert.equal(markupToText(input), output, JSON.stringify(input));
  }
});

test("markup that Python refuses is taken as text", () => {
  assert.equal(markupToText("a <![oops]> b"), "a <![oops]> b");
});

test("a long prompt of open tags is read in linear time", () => {
  const startMs = performance.now();
  markupToText("<a b='".repeat(2000));
  markupToText("<a ".repeat(4000));
  assert.ok(performance.now() - startMs < 2000);
});
