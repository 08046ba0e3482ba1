import assert from "node:assert/strict";
import { test } from "node:test";
import { coordinatorConfig } from "./config.js";

test("a data folder is enough, and artifacts lie in it unless told otherwise", () => {
  const config = coordinatorConfig(["--data", "/d"], {});
  assert.equal(config.artifacts, "/d/artifacts");
  assert.equal(config.listen, "127.0.0.1:0");
  assert.equal(config.rules.leaseMs, 10_000);
  assert.equal(coordinatorConfig(["--data=/d", "--artifacts=/a"], {}).artifacts, "/a");
});

test("a pool's name must do as part of a subject", () => {
  assert.throws(() => coordinatorConfig(["--data=/d", "--pool=a.b"], {}), {
    code: "INVALID_ARGUMENT",
    message: /--pool is "a\.b"/,
  });
});
