import assert from "node:assert/strict";
import { test } from "node:test";
import type { PlanFigures } from "../core/events.js";
import { checkMemory, type DeviceMemory, memoryWarnings } from "./clip-memory.js";

const plan: PlanFigures = {
  flops: 1,
  flopsNone: 2,
  cacheBytes: 37e9,
  peakBytes: 63.6e9,
  digest: "d",
  warnings: [],
  refreshPoints: [],
};

const device = (worker: string, memoryBytes: number): DeviceMemory => ({
  worker,
  device: "cuda:0",
  memoryBytes,
});

test("a clip that no device has the memory for is refused with what it needs", () => {
  assert.throws(() => checkMemory(plan, [device("a", 24e9), device("b", 48e9)]), {
    code: "OUT_OF_MEMORY",
    message:
      "a clip needs 63.6 GB, 37.0 GB of it for its cache; the biggest device, cuda:0 of b, has " +
      "48.0 GB; take fewer frames, a smaller size or a policy that keeps less",
  });
});

test("a clip that one device has the memory for, or may have, is taken", () => {
  checkMemory(plan, [device("a", 24e9), device("b", 63.6e9)]);
  checkMemory(plan, [device("a", 24e9), device("b", 0)]);
});

test("devices that are too small are named, and many are counted", () => {
  assert.deepEqual(memoryWarnings(plan, [device("b", 80e9), device("c", 0)]), []);
  assert.deepEqual(memoryWarnings(plan, [device("a", 24e9), device("b", 80e9)]), [
    "a clip needs 63.6 GB, 37.0 GB of it for its cache: too small for it is cuda:0 of a (24.0 GB)",
  ]);
  const five = ["a", "b", "c", "d", "e"].map((worker) => device(worker, 24e9));
  assert.match(
    memoryWarnings(plan, [...five, device("f", 80e9)])[0] ?? "",
    /are cuda:0 of a \(24\.0 GB\), .*cuda:0 of c \(24\.0 GB\) and 2 more$/,
  );
});
