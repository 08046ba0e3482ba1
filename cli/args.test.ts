import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { FarmError } from "../common/errors.js";
import {
  checkPrompts,
  framesOption,
  imageSizeOption,
  numberOption,
  policyOption,
  readPromptFile,
  seedOption,
} from "./args.js";

function refuses(call: () => unknown, words: RegExp): void {
  assert.throws(call, (error) => error instanceof FarmError && words.test(error.message));
}

async function withPromptFile(
  content: string | Uint8Array,
  work: (file: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), "tocafarm-args-"));
  const file = path.join(folder, "prompts.txt");
  writeFileSync(file, content);
  try {
    await work(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("an empty prompt is refused with its line number", async () => {
  await withPromptFile("a cat\n  \na dog\n", async (file) => {
    await assert.rejects(readPromptFile(file), /prompts\.txt:2 is an empty prompt/);
  });
  refuses(() => checkPrompts(["a", ""], (index) => `--prompt number ${index + 1}`), /number 2/);
});

test("a prompt file that is missing, empty or no text is refused by name", async () => {
  await assert.rejects(readPromptFile("/nowhere/p.txt"), /NOT_FOUND|cannot be read/);
  await withPromptFile("", async (file) => {
    await assert.rejects(readPromptFile(file), /prompts\.txt:1 is an empty prompt/);
  });
  await withPromptFile(Uint8Array.of(0x61, 0xff), async (file) => {
    await assert.rejects(readPromptFile(file), /is not UTF-8/);
  });
});

test("prompts are read line by line, without the space around them", async () => {
  await withPromptFile("\ufeff  a cat \r\nein Bär\n", async (file) => {
    assert.deepEqual(await readPromptFile(file), ["a cat", "ein Bär"]);
  });
});

test("numbers outside their bounds, or none at all, are refused", () => {
  const steps = numberOption("--steps", { min: 1, max: 1000 });
  assert.equal(steps("30"), 30);
  for (const text of ["0", "1001", "1.5", "", " ", "ten", "NaN", "1e9"]) {
    refuses(() => steps(text), /--steps is .*; a whole number from 1 to 1000 is wanted/);
  }
  assert.equal(numberOption("--fps", { min: 0, max: 9, fractional: true })("7.5"), 7.5);
});

test("frames are a count or one of Open-Sora's names", () => {
  assert.equal(framesOption("17"), 17);
  assert.equal(framesOption("4s"), 102);
  assert.equal(framesOption("16x"), 816);
  for (const text of ["0", "-1", "3s", "4097", "1.0", "constructor"]) {
    refuses(() => framesOption(text), /--frames is/);
  }
});

test("an image size is HxW or two values", () => {
  assert.deepEqual(imageSizeOption(["240x426"]), { height: 240, width: 426 });
  assert.deepEqual(imageSizeOption(["240", "426"]), { height: 240, width: 426 });
  for (const values of [["240"], ["240x"], ["1x1"], ["9000x9000"], ["1", "2", "3"], ["axb"]]) {
    refuses(() => imageSizeOption(values), /--image-size is/);
  }
});

test("a seed has 64 bits", () => {
  assert.equal(seedOption("18446744073709551615"), 2n ** 64n - 1n);
  for (const text of ["18446744073709551616", "-1", "0x10", ""]) {
    refuses(() => seedOption(text), /--seed is/);
  }
});

test("policy options are collected, each once", () => {
  const pair = policyOption("--policy-option");
  assert.deepEqual(pair("score=norm", pair("interval=3")), {
    interval: "3",
    score: "norm",
  });
  assert.deepEqual(pair("toca.interval=4"), { "toca.interval": "4" });
  refuses(() => pair("interval"), /NAME=VALUE/);
  refuses(() => pair("interval=4", { interval: "3" }), /given twice/);
});
