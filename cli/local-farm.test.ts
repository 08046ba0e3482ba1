import assert from "node:assert/strict";
import { test } from "node:test";
import { planWorkers } from "./local-farm.js";

test("CPU workers share the cores, and each has at least one", () => {
  const two = planWorkers({ devices: [], cpuWorkers: 2, threads: 0 }, 8);
  assert.deepEqual(two, [
    { id: "worker-1", devices: ["cpu"], threads: 4 },
    { id: "worker-2", devices: ["cpu"], threads: 4 },
  ]);
  const many = planWorkers({ devices: ["cpu"], cpuWorkers: 3, threads: 0 }, 2);
  assert.deepEqual(
    many.map(({ threads }) => threads),
    [1, 1, 1],
  );
});

test("a number of threads that is given holds", () => {
  assert.equal(planWorkers({ devices: [], cpuWorkers: 1, threads: 3 }, 64)[0]?.threads, 3);
});

test("GPUs are one worker's, and the CPU joins only when it is named", () => {
  const gpus = planWorkers({ devices: ["cuda:0", "cuda:1"], cpuWorkers: 1, threads: 0 }, 8);
  assert.deepEqual(
    gpus.map(({ devices }) => devices),
    [["cuda:0", "cuda:1"]],
  );
  const both = planWorkers({ devices: ["cuda:0", "cpu"], cpuWorkers: 2, threads: 0 }, 8);
  assert.deepEqual(
    both.map(({ devices }) => devices),
    [["cuda:0"], ["cpu"], ["cpu"]],
  );
});
