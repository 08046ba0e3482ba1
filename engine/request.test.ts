import assert from "node:assert/strict";
import { test } from "node:test";
import { nativePlanRequest, nativeRenderRequest, type RenderRequest } from "./request.js";

const request: RenderRequest = {
  prompt: "a circle",
  seed: 42n,
  frames: 51,
  height: 240,
  width: 426,
  fps: 24,
  steps: 30,
  guidance: 7,
  sampler: "",
  policy: { name: "toca", options: { interval: "3" } },
};

test("a request crosses as its fields and nothing else", () => {
  const carried = { ...request, note: "of the caller" };
  assert.deepEqual(nativeRenderRequest(carried), { ...request, textTokensNominal: 30 });
  const { prompt, seed, ...plan } = request;
  assert.deepEqual(nativePlanRequest(plan), {
    ...plan,
    prompt: "",
    seed: 0n,
    textTokensNominal: 30,
  });
  assert.equal(nativePlanRequest({ ...plan, textTokens: 12 }).textTokensNominal, 12);
});

const broken: readonly (readonly [Partial<RenderRequest>, RegExp])[] = [
  [{ frames: 0 }, /^frames is 0, allowed are whole numbers from 1 to 4096$/],
  [{ frames: 1.5 }, /frames is 1\.5/],
  [{ height: 15 }, /height is 15, allowed are whole numbers from 16 to 8192/],
  [{ width: 1e9 }, /width is 1000000000/],
  [{ steps: 1001 }, /steps is 1001/],
  [{ steps: Number.NaN }, /steps is NaN/],
  [{ fps: 0 }, /fps is 0, allowed is 1 to 1000/],
  [{ fps: Number.POSITIVE_INFINITY }, /fps is Infinity/],
  [{ textTokens: 0 }, /text tokens is 0, allowed are whole numbers from 1 to 4096/],
  [{ guidance: -1 }, /guidance is -1/],
  [{ guidance: Number.NaN }, /guidance is NaN/],
  [{ seed: -1n }, /seed -1 is outside/],
  [{ seed: 2n ** 64n }, /seed 18446744073709551616 is outside 0 to 18446744073709551615/],
  [{ prompt: " \n" }, /the prompt is empty/],
  [{ prompt: "x".repeat(20_000) }, /has 20000 characters, at most 16384/],
  [{ policy: { name: "", options: {} } }, /the policy has no name/],
  [
    { policy: { name: "toca", options: Object.fromEntries(Array(40).entries()) } },
    /policy toca has 40 options/,
  ],
];

for (const [change, message] of broken) {
  test(`a request is refused when ${message.source}`, () => {
    assert.throws(() => nativeRenderRequest({ ...request, ...change }), {
      code: "INVALID_ARGUMENT",
      message,
    });
  });
}
