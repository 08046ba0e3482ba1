import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm, testDevice, testPlan, testSpec } from "../../test/support/coordinator-core.js";
import type { Decision } from "./commands.js";
import { defaultRules, type Rules } from "./rules.js";

/** The farm has led long enough, and better work has waited long enough. */
function waitLong(farm: TestFarm): Decision {
  for (let i = 0; i < 3; i++) {
    farm.now += 4_000;
    for (const id of farm.farm.live.workers.keys()) farm.report(id, { step: 5 });
  }
  return farm.wait(0);
}

/** Workers that all render the batch `low` of the last tier. */
function busy(workers: readonly string[], rules: Rules = defaultRules): TestFarm {
  const farm = new TestFarm(rules);
  farm.submit("low", { clips: 10, priority: 4 });
  for (const id of workers) farm.join(id);
  farm.place();
  for (const id of workers) farm.report(id, { step: 5 });
  return farm;
}

function cuts({ effects }: Decision): readonly string[] {
  return effects.flatMap((effect) => (effect.type === "cut_attempt" ? [effect.worker] : []));
}

test("an attempt of a worse tier is cut for work that found no device, once", () => {
  const farm = busy(["w1", "w2"]);
  farm.submit("high", { clips: 1, priority: 0 });
  assert.deepEqual(cuts(farm.wait(0)), [], "something may come free");
  assert.equal(cuts(waitLong(farm)).length, 1);
  assert.deepEqual(cuts(waitLong(farm)), [], "one is on its way");
  const cut = [...farm.farm.live.leases.values()].find((memory) => memory.cut !== null);
  assert.ok(cut);
  const { worker } = cut.lease;
  farm.checkpoint(worker, cut.lease, 10);
  const [lost] = farm.fail(worker, cut.lease, "INTERRUPTED").events;
  assert.equal(lost?.type === "AttemptLost" && lost.reason, "cut");
  farm.ask(worker);
  farm.place();
  assert.equal(farm.lease(worker).batch, "high");
  farm.complete(worker, farm.lease(worker));
  farm.ask(worker);
  farm.place();
  assert.equal(farm.lease(worker).resumeStep, 10);
});

test("the attempt that loses least since its checkpoint is cut", () => {
  const farm = busy(["w1", "w2"]);
  farm.submit("high", { clips: 1, priority: 0 });
  farm.checkpoint("w2", farm.lease("w2"), 10);
  for (let i = 0; i < 3; i++) {
    farm.now += 4_000;
    for (const id of ["w1", "w2"]) farm.report(id, { step: 11 });
  }
  assert.deepEqual(cuts(farm.wait(0)), ["w2"]);
});

const spared: readonly (readonly [string, (farm: TestFarm) => void])[] = [
  [
    "within a tier",
    (farm) => {
      farm.submit("same", { clips: 1, priority: 4, tenant: "other" });
    },
  ],
  [
    "for work that the device cannot run",
    (farm) => {
      farm.submit("high", { clips: 1, priority: 0, spec: { ...testSpec, device: "cuda" } });
    },
  ],
  [
    "for a batch that is paused",
    (farm) => {
      farm.submit("high", { clips: 1, priority: 0 });
      farm.do({ type: "pause", batch: "high", cutRunning: false });
    },
  ],
];

for (const [when, act] of spared) {
  test(`nothing is cut ${when}`, () => {
    const farm = busy(["w1"]);
    act(farm);
    assert.deepEqual(cuts(waitLong(farm)), []);
  });
}

test("nothing is cut when that is switched off, or for a tenant that may have no more", () => {
  const off = busy(["w1"], { ...defaultRules, preemption: { enabled: false, waitMs: 0 } });
  off.submit("high", { clips: 1, priority: 0 });
  assert.deepEqual(cuts(waitLong(off)), []);
  const own = { ...defaultRules.tenantDefault, devicesMax: 0 };
  const full = busy(["w1"], { ...defaultRules, tenants: { full: own } });
  full.submit("high", { clips: 1, priority: 0, tenant: "full" });
  assert.deepEqual(cuts(waitLong(full)), []);
});

test("an attempt without a refresh point ahead is left alone", () => {
  const farm = new TestFarm();
  farm.submit("low", { clips: 1, priority: 4, plan: { ...testPlan, refreshPoints: [2, 5] } });
  farm.join("w1");
  farm.place();
  farm.report("w1", { step: 5 });
  farm.submit("high", { clips: 1, priority: 0 });
  assert.deepEqual(cuts(waitLong(farm)), []);
});

test("as many are cut as clips wait, of the worst tier first", () => {
  const farm = new TestFarm();
  farm.submit("low", { clips: 2, priority: 4 });
  farm.submit("middle", { clips: 2, priority: 3 });
  for (const id of ["w1", "w2", "w3", "w4"]) farm.join(id);
  farm.place();
  farm.submit("high", { clips: 3, priority: 0 });
  const cut = cuts(waitLong(farm)).map((worker) => farm.lease(worker).batch);
  assert.deepEqual(cut, ["low", "low", "middle"]);
});

test("for a batch that has only risen, one attempt is cut: its next lease takes it back", () => {
  const farm = new TestFarm({ ...defaultRules, tierRaiseMs: 5_000 });
  farm.submit("middle", { clips: 10, priority: 3 });
  for (const id of ["w1", "w2", "w3"]) farm.join(id);
  farm.place();
  farm.submit("low", { clips: 9, priority: 4, tenant: "other" });
  assert.equal(cuts(waitLong(farm)).length, 1);
});

test("a batch never rises above its own attempts", () => {
  const farm = busy(["w1"], { ...defaultRules, tierRaiseMs: 1_000 });
  assert.deepEqual(cuts(waitLong(farm)), []);
});

test("what has not begun is taken back before anything is cut", () => {
  const farm = busy(["w1"]);
  farm.ask("w1", 29);
  farm.place();
  const [running, waiting] = farm.leasesOf("w1");
  assert.ok(running && waiting);
  farm.submit("high", { clips: 1, priority: 0 });
  for (let i = 0; i < 3; i++) {
    farm.now += 4_000;
    const attempts = [
      { ...running, stage: "denoise", step: 5, steps: 30, totals: null },
      { ...waiting, stage: "", step: 0, steps: 0, totals: null },
    ];
    farm.do({ type: "progress", worker: "w1", attempts, idleDevices: [], draining: false });
  }
  const { effects } = farm.wait(0);
  const ref = { batch: "low", clip: 1, attempt: 1 };
  assert.deepEqual(effects, [{ type: "stop_attempt", worker: "w1", ref, reason: "revoked" }]);
});

test("nothing is cut for a clip that not every device may run, since that could be in vain", () => {
  const farm = busy(["w1"]);
  farm.submit("high", { clips: 2, priority: 0 });
  farm.join("big", { devices: [testDevice({ memoryBytes: 16e9 })] });
  farm.join("w2");
  farm.place();
  farm.fail("w2", farm.lease("w2"), "OUT_OF_MEMORY");
  assert.deepEqual(cuts(waitLong(farm)), []);
});

test("nothing is cut on a device that is too small for what waits", () => {
  const farm = new TestFarm();
  farm.submit("low", { clips: 10, priority: 4 });
  for (const [id, memoryBytes] of [
    ["small", 8e9],
    ["big", 16e9],
  ] as const) {
    farm.join(id, { devices: [testDevice({ memoryBytes })] });
  }
  farm.place();
  farm.checkpoint("small", farm.lease("small"), 10); // it would lose least
  for (const id of ["small", "big"]) farm.report(id, { step: 11 });
  farm.submit("high", { clips: 1, priority: 0, plan: { ...testPlan, peakBytes: 12e9 } });
  farm.wait(0);
  for (let i = 0; i < 3; i++) {
    farm.now += 4_000;
    for (const id of ["small", "big"]) farm.report(id, { step: 11 });
  }
  assert.deepEqual(cuts(farm.wait(0)), ["big"]);
});
