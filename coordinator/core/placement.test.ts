import assert from "node:assert/strict";
import { test } from "node:test";
import {
  TestFarm,
  testDevice,
  testHello,
  testModel,
  testPlan,
  testPreview,
  testSpec,
} from "../../test/support/coordinator-core.js";
import type { AttemptRef, FarmEvent } from "./events.js";
import { defaultRules, type Rules } from "./rules.js";

const { tenantDefault } = defaultRules;
const types = (events: readonly FarmEvent[]) => events.map(({ type }) => type);

/** Batches in the order in which one device renders their clips. */
function order(farm: TestFarm, clips: number, worker = "w1"): readonly string[] {
  const batches: string[] = [];
  for (let i = 0; i < clips; i++) {
    farm.ask(worker);
    farm.place();
    const lease = farm.lease(worker);
    batches.push(lease.batch);
    farm.now += 1_000;
    farm.complete(worker, lease);
  }
  return batches;
}

function countOf(names: readonly string[], name: string): number {
  return names.filter((other) => other === name).length;
}

test("tenants of a tier share by weight, whoever came first and however much they have", () => {
  const rules: Rules = { ...defaultRules, tenants: { big: { ...tenantDefault, weight: 3 } } };
  const farm = new TestFarm(rules);
  farm.submit("small", { clips: 100, tenant: "small" });
  farm.submit("big", { clips: 1_000, tenant: "big" });
  farm.join("w1");
  const served = order(farm, 80);
  assert.ok(Math.abs(countOf(served, "big") - 60) <= 1, `big got ${countOf(served, "big")} of 80`);
});

test("shares are of device-seconds: who renders dear clips gets fewer of them", () => {
  const farm = new TestFarm();
  const plan = { ...testPlan, flops: 4e9 };
  farm.submit("dear", { clips: 100, tenant: "dear", plan });
  farm.submit("cheap", { clips: 100, tenant: "cheap" });
  farm.join("w1");
  for (let i = 0; i < 4; i++) finish(farm, "w1"); // speeds are learnt
  const served: string[] = [];
  for (let i = 0; i < 50; i++) served.push(finish(farm, "w1"));
  assert.ok(Math.abs(countOf(served, "dear") - 10) <= 1, `${countOf(served, "dear")} of 50`);
});

/** The next clip takes as long as its FLOPs say. */
function finish(farm: TestFarm, worker: string): string {
  farm.ask(worker);
  farm.place();
  const lease = farm.lease(worker);
  farm.now += lease.batch === "dear" ? 4_000 : 1_000;
  farm.complete(worker, lease);
  return lease.batch;
}

test("a tenant that was idle has saved up nothing", () => {
  const farm = new TestFarm();
  farm.submit("a1", { clips: 500, tenant: "a" });
  farm.join("w1");
  order(farm, 100);
  farm.submit("b1", { clips: 500, tenant: "b" });
  const served = order(farm, 20);
  assert.ok(Math.abs(countOf(served, "b1") - 10) <= 1, `b got ${countOf(served, "b1")} of 20`);
});

test("an attempt lost at once costs its tenant nothing, one that fails late its time", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 10, tenant: "a" });
  farm.join("w1");
  farm.place();
  assert.ok((farm.state.tenants.get("a")?.deviceSecondsUsed ?? 0) > 0, "charged when granted");
  farm.fail("w1", farm.lease("w1"), "UNAVAILABLE");
  assert.equal(farm.state.tenants.get("a")?.deviceSecondsUsed, 0);
  farm.ask("w1");
  farm.place();
  farm.now += 7_000;
  farm.fail("w1", farm.lease("w1"));
  assert.equal(farm.state.tenants.get("a")?.deviceSecondsUsed, 7);
});

test("shares survive a failover", () => {
  const farm = new TestFarm();
  farm.submit("a1", { clips: 100, tenant: "a" });
  farm.join("w1");
  farm.submit("b1", { clips: 100, tenant: "b", priority: 3 });
  order(farm, 10);
  farm.do({ type: "set_priority", batch: "b1", priority: 2 });
  farm.restart("snapshot");
  farm.join("w1");
  const served = order(farm, 10);
  assert.ok(Math.abs(countOf(served, "b1") - 5) <= 1);
});

test("within a tenant the earliest deadline comes first, also before what was moved", () => {
  const farm = new TestFarm();
  farm.submit("none", { clips: 1 });
  farm.submit("late", { clips: 1, deadlineAt: 90_000 });
  farm.submit("soon", { clips: 1, deadlineAt: 50_000 });
  farm.do({ type: "move", batch: "none", place: "first" });
  farm.join("w1");
  assert.deepEqual(order(farm, 3), ["soon", "late", "none"]);
});

test("a batch that gets no device rises a tier, and is back in its own after a lease", () => {
  const farm = new TestFarm({ ...defaultRules, tierRaiseMs: 10_000 });
  farm.submit("first", { clips: 1_000, priority: 1 });
  farm.submit("last", { clips: 100, priority: 3 });
  farm.join("w1");
  assert.equal(countOf(order(farm, 20), "last"), 0);
  const served = order(farm, 100);
  const share = countOf(served, "last");
  assert.ok(share >= 3 && share <= 6, `it got ${share} of 100`);
});

test("a tenant has no more leases at a time than it may, and its clips wait", () => {
  const rules: Rules = { ...defaultRules, tenants: { a: { ...tenantDefault, devicesMax: 2 } } };
  const farm = new TestFarm(rules);
  farm.submit("b1", { clips: 5, tenant: "a" });
  for (const id of ["w1", "w2", "w3"]) farm.join(id);
  assert.equal(farm.place().events.length, 2);
  const [lease] = farm.leasesOf("w1");
  assert.ok(lease);
  farm.complete("w1", lease);
  assert.equal(farm.place().events.length, 1);
});

test("a tenant's limits refuse at submit, with value and bound", () => {
  const own = { ...tenantDefault, clipsQueuedMax: 5, batchesMax: 2 };
  const farm = new TestFarm({ ...defaultRules, tenants: { a: own } });
  const refused = farm.submit("b1", { clips: 6, tenant: "a" });
  assert.equal(refused.refusal?.code, "RESOURCE_EXHAUSTED");
  assert.match(refused.refusal?.message ?? "", /0 waiting clips of tenant a, and 6 more .* 5/);
  farm.submit("b2", { clips: 1, tenant: "a" });
  farm.submit("b3", { clips: 1, tenant: "a" });
  const { refusal } = farm.submit("b4", { clips: 1, tenant: "a" });
  assert.match(refusal?.message ?? "", /2 unfinished batches of tenant a/);
  assert.equal(farm.submit("b5", { clips: 9, tenant: "other" }).refusal, null);
});

const otherModel = { ...testModel, name: "other" };
const twoModels = { models: [testModel, otherModel] };

test("a clip goes to the device that holds its weights", () => {
  const farm = new TestFarm();
  farm.join("cold", { ...twoModels, devices: [testDevice({ loadedModel: "other" })] });
  farm.join("warm", { ...twoModels, devices: [testDevice({ loadedModel: "demo" })] });
  farm.submit("b1", { clips: 1 });
  farm.place();
  assert.equal(farm.lease("warm").batch, "b1");
});

test("work that is due first is gone past for a warm device only so often", () => {
  const farm = new TestFarm();
  farm.join("w1", { ...twoModels, devices: [testDevice({ loadedModel: "demo" })] });
  farm.submit("first", { clips: 1, spec: { ...testSpec, model: "other" } });
  farm.submit("warm", { clips: 100 });
  const served = order(farm, 12);
  assert.equal(served[0], "warm");
  assert.equal(served.indexOf("first"), 8);
});

test("work with a deadline is never gone past", () => {
  const farm = new TestFarm();
  farm.join("w1", { ...twoModels, devices: [testDevice({ loadedModel: "demo" })] });
  const spec = { ...testSpec, model: "other" };
  farm.submit("warm", { clips: 100 });
  farm.submit("due", { clips: 1, spec, deadlineAt: 90_000 });
  assert.equal(order(farm, 2)[0], "due");
});

test("a final render goes where its preview was made, if that device asks", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2, preview: testPreview });
  farm.join("w1");
  farm.join("w2");
  farm.place();
  const clip = farm.lease("w2").clip;
  for (const id of ["w1", "w2"]) farm.complete(id, farm.lease(id));
  farm.do({ type: "approve", batch: "b1", clips: [] });
  farm.ask("w2");
  farm.place();
  assert.equal(farm.lease("w2").clip, clip);
});

const gpu = { devices: [testDevice({ name: "cuda:0", kind: "gpu-y" })] };

test("a checkpoint is resumed on its kind, and waits for none: elsewhere it begins anew", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2 });
  farm.join("w1");
  farm.place();
  farm.checkpoint("w1", farm.lease("w1"), 10);
  farm.fail("w1", farm.lease("w1"), "UNAVAILABLE");
  farm.join("g1", gpu);
  farm.place();
  assert.deepEqual([farm.lease("g1").clip, farm.lease("g1").resumeStep], [1, 0], "a fresh one");
  farm.join("g2", gpu);
  farm.place();
  assert.deepEqual([farm.lease("g2").clip, farm.lease("g2").resumeStep], [0, 0], "no idling");
  farm.fail("g2", farm.lease("g2"), "UNAVAILABLE");
  farm.join("w2");
  farm.ask("g2");
  farm.place();
  assert.deepEqual([farm.lease("w2").clip, farm.lease("w2").resumeStep], [0, 10]);
});

test("less is charged for what a checkpoint has done already", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1 });
  farm.join("w1");
  farm.place();
  const whole = farm.lease("w1").deviceSeconds;
  farm.checkpoint("w1", farm.lease("w1"), 20);
  farm.fail("w1", farm.lease("w1"), "UNAVAILABLE");
  farm.ask("w1");
  farm.place();
  assert.ok(Math.abs(farm.lease("w1").deviceSeconds - whole / 3) < 1e-9);
});

test("a device gets one lease ahead in its last steps, and never two that have not begun", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 5 });
  farm.join("w1");
  farm.place();
  farm.ask("w1", 0, "");
  assert.deepEqual(farm.place().events, [], "the first has not begun");
  farm.ask("w1", 29);
  assert.equal(farm.place().events.length, 1);
  const [first, second] = farm.leasesOf("w1");
  assert.ok(first && second);
  const report = { ...first, stage: "decode", step: 30, steps: 30, totals: null };
  const waiting = { ...second, stage: "", step: 0, steps: 0, totals: null };
  const both = { worker: "w1", attempts: [report, waiting], idleDevices: ["cpu"], draining: false };
  farm.do({ type: "progress", ...both });
  assert.deepEqual(farm.place().events, [], "the second has not begun");
  farm.complete("w1", first);
  farm.do({ type: "progress", ...both, attempts: [{ ...waiting, stage: "denoise", step: 28 }] });
  assert.equal(farm.place().events.length, 1);
});

test("the time behind another attempt is not charged, and does not count as speed", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2 });
  farm.join("w1");
  farm.place();
  farm.ask("w1", 29);
  farm.place();
  const [first, second] = farm.leasesOf("w1");
  assert.ok(first && second);
  farm.now += 10_000;
  farm.complete("w1", first);
  farm.now += 10_000;
  farm.complete("w1", second);
  assert.equal(farm.state.speeds.get("cpu-x"), 1e8);
  assert.equal(farm.state.tenants.get("default")?.deviceSecondsUsed, 20);
});

test("what waits behind another attempt goes to a device that comes free for it", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2 });
  farm.join("w1");
  farm.place();
  farm.ask("w1", 29);
  farm.place();
  farm.join("w2");
  const { events, effects } = farm.place();
  assert.deepEqual(types(events), ["AttemptLost", "LeaseGranted"]);
  const ref = { batch: "b1", clip: 1, attempt: 1 };
  assert.deepEqual(effects, [{ type: "stop_attempt", worker: "w1", ref, reason: "revoked" }]);
  assert.deepEqual([farm.lease("w2").clip, farm.lease("w2").attempt], [1, 2]);
  assert.equal(farm.state.batches.get("b1")?.clips.get(1)?.interruptions, 0);
  farm.ask("w1", 29);
  assert.deepEqual(farm.place().events, []);
});

test("what waits behind goes elsewhere when its device fails", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2 });
  farm.join("w1");
  farm.place();
  farm.ask("w1", 29);
  farm.place();
  const device = testDevice({ condition: "failed" });
  const { events } = farm.do({ type: "device", worker: "w1", device });
  assert.deepEqual(types(events), ["AttemptLost"]);
});

/** w1 has a lease ahead when its leader dies; the next one hears w2 first, which idles. */
function failedOver(): { readonly farm: TestFarm; readonly held: readonly AttemptRef[] } {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2 });
  farm.join("w1");
  farm.place();
  farm.ask("w1", 29);
  farm.place();
  const held = farm.leasesOf("w1").map(({ batch, clip, attempt }) => ({ batch, clip, attempt }));
  farm.restart();
  farm.join("w2");
  return { farm, held };
}

test("a new leader takes nothing back of which it has not heard how far it is", () => {
  const { farm, held } = failedOver();
  assert.equal(held.length, 2);
  assert.deepEqual(farm.place().events, []);
  assert.deepEqual(types(farm.do({ type: "pause", batch: "b1", cutRunning: false }).events), [
    "BatchPaused",
  ]);
  farm.do({ type: "hello", hello: testHello("w1", { held }) });
  for (const ref of held) {
    assert.deepEqual(types(farm.complete("w1", ref).events), ["ClipPublished"]);
  }
});

test("a new leader takes back what its holder says it has not begun", () => {
  const { farm, held } = failedOver();
  farm.do({ type: "hello", hello: testHello("w1", { held }) });
  const [first, second] = held;
  assert.ok(first && second);
  const attempts = [
    { ...first, stage: "decode", step: 30, steps: 30, totals: null },
    { ...second, stage: "", step: 0, steps: 0, totals: null },
  ];
  farm.do({ type: "progress", worker: "w1", attempts, idleDevices: [], draining: false });
  assert.deepEqual(types(farm.place().events), ["AttemptLost", "LeaseGranted"]);
  assert.deepEqual([farm.lease("w2").clip, farm.lease("w2").attempt], [second.clip, 2]);
});

/** A device of so much memory. */
const sized = (memoryBytes: number) => ({ devices: [testDevice({ memoryBytes })] });
const dear = { clips: 2, plan: { ...testPlan, peakBytes: 12e9 } };

test("a device with less memory than a plan asks gets nothing while a bigger one is there", () => {
  const farm = new TestFarm();
  farm.submit("dear", dear);
  farm.submit("cheap", { clips: 1, priority: 3 });
  farm.join("small", sized(8e9));
  farm.join("big", sized(16e9));
  farm.place();
  assert.equal(farm.lease("small").batch, "cheap", "also what is due later");
  assert.equal(farm.lease("big").batch, "dear");
  farm.complete("small", farm.lease("small"));
  farm.ask("small");
  assert.deepEqual(farm.place().events, []);
});

test("of two sizes within a kind, the bigger one gets what asks for more", () => {
  const farm = new TestFarm();
  const devices = [8e9, 16e9].map((memoryBytes, i) =>
    testDevice({ name: `cuda:${i}`, memoryBytes }),
  );
  farm.submit("dear", dear);
  farm.join("w1", { devices });
  farm.place();
  assert.deepEqual(
    farm.leasesOf("w1").map(({ device }) => device),
    ["cuda:1"],
  );
});

test("a preview that asks for more than the final render counts", () => {
  const farm = new TestFarm();
  const plan = { ...testPreview.plan, peakBytes: 12e9 };
  farm.submit("b1", { clips: 1, preview: { ...testPreview, plan } });
  farm.join("small", sized(8e9));
  farm.join("big", sized(16e9));
  farm.place();
  assert.equal(farm.lease("big").batch, "b1");
});

test("where nobody has the memory that the plan asks, engines decide", () => {
  const farm = new TestFarm();
  farm.submit("dear", dear);
  for (const id of ["w1", "w2"]) farm.join(id, sized(8e9));
  assert.equal(farm.place().events.length, 2);
});

test("a device of unknown memory may have enough", () => {
  const farm = new TestFarm();
  farm.submit("dear", { ...dear, clips: 3 });
  for (const [i, bytes] of [8e9, 0, 16e9].entries()) farm.join(`w${i}`, sized(bytes));
  const workers = farm.place().events.map((event) => "worker" in event && event.worker);
  assert.deepEqual(workers.sort(), ["w1", "w2"]);
});

test("a bigger device that left, or failed the batch too often, keeps nothing waiting", () => {
  const farm = new TestFarm();
  farm.submit("dear", { ...dear, clips: 9 });
  farm.join("big", sized(16e9));
  farm.join("small", sized(8e9));
  for (let i = 0; i < 3; i++) {
    assert.equal(farm.place().events.length, 1);
    farm.fail("big", farm.lease("big"));
    farm.ask("big");
    farm.do({ type: "release_device", worker: "big", device: "cpu" });
  }
  farm.place();
  assert.equal(farm.lease("small").batch, "dear");
  farm.join("bigger", sized(32e9));
  farm.complete("small", farm.lease("small"));
  farm.ask("small");
  farm.place();
  assert.equal(farm.leasesOf("small").length, 0);
  farm.do({ type: "gone", worker: "bigger" });
  farm.place();
  assert.equal(farm.lease("small").batch, "dear");
});

test("out of memory below what the plan asks goes on to a bigger device that has come", () => {
  const farm = new TestFarm();
  farm.submit("dear", { ...dear, clips: 1 });
  farm.join("small", sized(8e9));
  farm.place();
  farm.join("big", sized(16e9));
  const { events } = farm.fail("small", farm.lease("small"), "OUT_OF_MEMORY");
  assert.deepEqual(types(events), ["AttemptFailed"]);
  farm.now += 5_000;
  farm.ask("small");
  farm.place();
  assert.equal(farm.lease("big").batch, "dear");
});
