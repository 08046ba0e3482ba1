import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultWorkerId, workerConfig } from "./config.js";

const needed = ["--coordinator", "127.0.0.1:1", "--model", "/models/demo", "--data", "/data"];

test("a worker needs a coordinator, a model and a data folder", () => {
  assert.deepEqual(workerConfig(needed, { TOCAFARM_DATA: "/farm", XDG_CACHE_HOME: "/cache" }), {
    coordinators: ["127.0.0.1:1"],
    modelFolders: ["/models/demo"],
    dataFolder: "/data",
    devices: ["cpu"],
    threads: 0,
    cache: { folder: "/cache/tocafarm", weightsBytesMax: 64 * 2 ** 30 },
    dtype: "fp32",
    artifacts: "/farm/artifacts",
    http: "127.0.0.1:0",
    id: undefined,
    checkpointPeriodSeconds: 10,
    graceMs: 30_000,
    logLevel: "info",
  });
});

const refused: readonly (readonly [readonly string[], RegExp])[] = [
  [["--coordinator", "127.0.0.1:1", "--data", "/data"], /--model is required/],
  [["--coordinator", "127.0.0.1:1,here", ...needed.slice(2)], /"here" is no address/],
  [[...needed, "--device", "gpu"], /device "gpu" is unknown: use "cpu" or "cuda:N"/],
  [[...needed, "--device", "cpu", "--device", "cpu"], /--device cpu is given twice/],
  [[...needed, "--dtype", "fp16"], /--dtype is fp16; one of fp32, bf16/],
  [[...needed, "--id", "a/b"], /--id is "a\/b"/],
  [[...needed, "--thread", "2"], /did you mean --threads\?/],
];

for (const [argv, message] of refused) {
  test(`a worker's command line is refused: ${message.source}`, () => {
    assert.throws(() => workerConfig(argv, {}), { code: "INVALID_ARGUMENT", message });
  });
}

test("a worker's own name is one that it may be given", () => {
  assert.equal(
    workerConfig([...needed, "--id", defaultWorkerId("ab12")], {}).id?.slice(-5),
    "-ab12",
  );
});

test("a worker may be told of several coordinators, each once", () => {
  const argv = ["--coordinator", "a:1,b:2, a:1", ...needed.slice(2)];
  assert.deepEqual(workerConfig(argv, {}).coordinators, ["a:1", "b:2"]);
});
