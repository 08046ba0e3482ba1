import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { packageRoot } from "../common/paths.js";
import { appendScores, cleanPrompt } from "./prompt.js";
import { strip } from "./prompt-classes.js";
import { cleanOnce } from "./prompt-clean.js";

interface Case {
  readonly input: string;
  readonly once: string;
  readonly output: string;
}

function readCases(...names: readonly string[]): unknown {
  return JSON.parse(readFileSync(path.join(packageRoot(), ...names), "utf8"));
}

function check(cases: readonly Case[]): void {
  for (const { input, once, output } of cases) {
    assert.equal(cleanOnce(input), once, JSON.stringify(input));
    assert.equal(cleanPrompt(input), output, JSON.stringify(input));
  }
}

test("prompts are cleaned as the golden case says", () => {
  const golden = readCases("test", "golden", "prompt-cleaning", "case.json");
  const { strings } = golden as { readonly strings: readonly Case[] };
  assert.ok(strings.length > 20);
  check(strings);
});

test("prompts are cleaned as Python cleans them", () => {
  const cases = readCases("engine", "testdata", "prompt-cleaning.json") as readonly Case[];
  assert.ok(cases.length > 90);
  check(cases);
});

test("score phrases survive the cleaning with colon and decimals", () => {
  const scored = appendScores("A red circle", {
    aesthetic: 6.5,
    motion: 5,
    cameraMotion: "pan left",
  });
  assert.equal(
    cleanPrompt(scored),
    "a red circle aesthetic score: 6.5. motion score: 5.0. camera motion: pan left.",
  );
});

test("a score phrase is not appended twice, nor when it is not asked for", () => {
  const prompt = "A cat. aesthetic score: 4.0.";
  assert.equal(appendScores(prompt, { aesthetic: 6.5 }), prompt);
  assert.equal(appendScores("A cat", {}), "A cat");
  assert.equal(appendScores("A cat", { motion: 0 }), "A cat motion score: 0.0.");
});

test("a score between two decimals is rounded to the even one, as Python formats it", () => {
  const phrase = (aesthetic: number) => appendScores("", { aesthetic });
  assert.equal(phrase(6.25), " aesthetic score: 6.2.");
  assert.equal(phrase(6.75), " aesthetic score: 6.8.");
  assert.equal(phrase(6.35), " aesthetic score: 6.3.");
  assert.equal(phrase(-0.25), " aesthetic score: -0.2.");
});

test("any text can be cleaned, and comes out without space around it", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
      const cleaned = cleanPrompt(text);
      assert.equal(strip(cleaned), cleaned);
    }),
    { seed: 1, numRuns: process.env["TOCAFARM_TEST_LONG"] ? 20_000 : 100 },
  );
});

test("a long prompt is cleaned within a second, whatever it repeats", () => {
  for (const piece of ["a", "a1", "x.", "<", "&", "- ", "1", "a.b/", "%41", "Ã©", "\u00e2\u20ac"]) {
    const startMs = performance.now();
    cleanPrompt(piece.repeat(Math.floor(4096 / piece.length)));
    assert.ok(performance.now() - startMs < 1000, piece);
  }
});
