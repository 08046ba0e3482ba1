import assert from "node:assert/strict";
import { test } from "node:test";
import { unusedCacheWarning } from "./unused-cache.js";

test("a caching policy that reused nothing is warned of by name", () => {
  const warning = unusedCacheWarning({ policy: "toca", reused: 0, passed: 100 });
  assert.match(warning ?? "", /^policy toca took nothing from its cache/);
});

test("a policy that reused a token, keeps no cache or has done no step is not", () => {
  assert.equal(unusedCacheWarning({ policy: "toca", reused: 1, passed: 100 }), undefined);
  for (const policy of ["none", "steps"]) {
    assert.equal(unusedCacheWarning({ policy, reused: 0, passed: 100 }), undefined);
  }
  assert.equal(unusedCacheWarning({ policy: "toca", reused: 0, passed: 0 }), undefined);
});
