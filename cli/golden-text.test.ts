import assert from "node:assert/strict";
import { test } from "node:test";
import { checkText } from "./golden-text.js";

function golden(kind: string, fields: Record<string, unknown>) {
  return { folder: "/x/y", name: "y", kind, fields: { kind, ...fields } };
}

test("a wrong cleaning fails and says what came instead", () => {
  const strings = [{ input: "A", once: "a", output: "b" }];
  const [once, cleaned] = checkText(golden("prompt-cleaning", { strings }));
  assert.equal(once?.passed, true);
  assert.equal(cleaned?.passed, false);
  assert.equal(cleaned?.note, '"a" instead of "b"');
});

test("a pipeline's prompt is compared with its scores appended", () => {
  const fields = { prompt: "A Cat", aes: 6.5, flow: null, cleaned: "a cat aesthetic score: 6.5." };
  assert.equal(checkText(golden("pipeline", fields))[0]?.passed, true);
  assert.equal(checkText(golden("pipeline", { ...fields, aes: null }))[0]?.passed, false);
});

test("a case of numbers alone has no text to compare", () => {
  assert.deepEqual(checkText(golden("stdit3-rflow", {})), []);
});

test("a case without its fields is refused by name", () => {
  assert.throws(() => checkText(golden("prompt-cleaning", {})), /lacks "strings"/);
  assert.throws(() => checkText(golden("pipeline", { prompt: 3 })), /lacks "prompt"/);
});
