import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../common/paths.js";
import { Histogram } from "./histogram.js";
import { quickStudy } from "./quick.js";
import { runStudy } from "./run.js";
import { readStudy } from "./study.js";

const least = { devices: [{ kind: "gpu", count: 2 }], batches: [{ clips: 4, secondsPerClip: 5 }] };

const wrong: readonly (readonly [what: string, json: unknown, message: RegExp])[] = [
  [
    "a name that was misspelt",
    { ...least, tenant: {} },
    /no field "tenant"; did you mean "tenants"/,
  ],
  [
    "a name deep inside",
    { ...least, batches: [{ clips: 1, secondsPerClip: 1, priorty: 1 }] },
    /batches\[0\] has no field "priorty"; did you mean "priority"/,
  ],
  ["a value beyond its bounds", { ...least, coordinators: 99 }, /coordinators is 99; .* 1 to 9/],
  ["a wrong type", { ...least, seed: "1" }, /seed is "1"; a whole number/],
  ["something that is missing", { batches: least.batches }, /devices is missing/],
  ["no object at all", [1], /the scenario is \[1\]; an object is wanted/],
];

for (const [what, json, message] of wrong) {
  test(`a study with ${what} is refused, and it is said where`, () => {
    assert.throws(() => readStudy(json), { code: "INVALID_ARGUMENT", message });
  });
}

test("a study that no farm could do is refused", () => {
  const study = (batch: object) => readStudy({ ...least, batches: [{ clips: 1, ...batch }] });
  const both = { secondsPerClip: 1, flopsPerClip: 1e12 };
  assert.throws(() => runStudy(study(both)), /secondsPerClip and flopsPerClip; give just one/);
  const devices = [{ kind: "gpu", count: 1, models: ["other"] }];
  const json = { ...least, devices };
  assert.throws(() => runStudy(readStudy(json)), /wants model model, which no device has/);
});

test("a farm without faults does its work in the time that the work takes", () => {
  const study = quickStudy({ devices: 10, clips: 200, secondsPerClip: 30, tenants: "a:3,b" });
  const result = runStudy(study);
  assert.deepEqual(
    result.batches.map(({ tenant, published, failed }) => ({ tenant, published, failed })),
    [
      { tenant: "a", published: 100, failed: 0 },
      { tenant: "b", published: 100, failed: 0 },
    ],
  );
  // 600 s of work for each device; loading, decoding and the last clips come on top.
  assert.ok(result.seconds > 600 && result.seconds < 900, `${result.seconds} s`);
  assert.ok(result.utilisation > 0.85 && result.utilisation <= 1, `${result.utilisation}`);
  const [a] = result.tenants;
  assert.equal(a?.shareOfWeight, 0.75);
  assert.ok(Math.abs((a?.shareWhileAllWait ?? 0) - 0.75) < 0.1, `${a?.shareWhileAllWait}`);
  assert.equal(result.work.lostDeviceSeconds, 0);
});

test("the same study gives the same result, and another seed strikes elsewhere", () => {
  const study = quickStudy({ devices: 8, clips: 100, faults: 20 });
  const result = runStudy(study);
  assert.deepEqual(runStudy(study), result);
  assert.notDeepEqual(runStudy({ ...study, seed: 2 }).series, result.series);
  assert.ok(result.attempts.lost + result.attempts.failed > 0, "faults have struck");
});

const examples = path.join(packageRoot(), "simulation", "examples");

for (const file of readdirSync(examples)) {
  test(`the example ${file} can be read and run to its end`, () => {
    const json: unknown = JSON.parse(readFileSync(path.join(examples, file), "utf8"));
    const { batches, utilisation } = runStudy(readStudy(json));
    for (const { seconds } of batches) assert.notEqual(seconds, null);
    assert.ok(utilisation > 0.3 && utilisation <= 1, `${utilisation}`);
  });
}

test("a histogram's quantiles are right within 2 %", () => {
  const histogram = new Histogram();
  for (let value = 1; value <= 10_000; value++) histogram.add(value);
  for (const share of [0.01, 0.5, 0.95]) {
    const off = Math.abs(histogram.quantile(share) / (share * 10_000) - 1);
    assert.ok(off < 0.02, `${share}: ${histogram.quantile(share)}`);
  }
  assert.equal(histogram.quantile(1), 10_000);
  assert.equal(new Histogram().quantile(0.5), 0);
});
