import assert from "node:assert/strict";
import { test } from "node:test";
import {
  replayed,
  TestFarm,
  testDevice,
  testHello,
  testModel,
  testSpec,
} from "../../test/support/coordinator-core.js";
import { submissionsKeptMs } from "./apply.js";
import { defaultRules } from "./decide.js";
import type { FarmEvent } from "./events.js";
import { batchPhaseOf, phaseOf } from "./state.js";

const { leaseMs } = defaultRules;
const types = (events: readonly FarmEvent[]) => events.map(({ type }) => type);

function phase(farm: TestFarm, batch: string, clip = 0): string {
  const found = farm.state.batches.get(batch);
  return found ? phaseOf(found, found.clips.get(clip)) : "absent";
}

function batchPhase(farm: TestFarm, batch: string): string {
  const found = farm.state.batches.get(batch);
  return found ? batchPhaseOf(found) : "absent";
}

/** A batch of one clip that w1 holds. */
function leased(): TestFarm {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1 });
  farm.join("w1");
  farm.place();
  return farm;
}

test("a clip goes from queue to lease to its first step to publication", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1 });
  assert.equal(phase(farm, "b1"), "queued");
  farm.join("w1");
  assert.deepEqual(types(farm.place().events), ["LeaseGranted"]);
  assert.equal(phase(farm, "b1"), "leased");
  assert.deepEqual(types(farm.ask("w1", 0).events), []);
  assert.deepEqual(types(farm.ask("w1", 1).events), ["AttemptStarted"]);
  assert.equal(phase(farm, "b1"), "running");
  assert.deepEqual(types(farm.ask("w1", 2).events), []);
  farm.now += 2_000;
  assert.deepEqual(types(farm.complete("w1", farm.lease("w1")).events), ["ClipPublished"]);
  assert.equal(phase(farm, "b1"), "published");
  assert.equal(batchPhase(farm, "b1"), "succeeded");
  assert.equal(farm.state.batches.get("b1")?.clips.get(0)?.publication?.seconds, 2);
  assert.equal(farm.state.speeds.get("cpu-x"), 0.5e9);
});

test("a device gets one lease at a time, and only when it asks", () => {
  const farm = new TestFarm();
  farm.submit("b1");
  farm.do({ type: "hello", hello: testHello("w1") });
  assert.deepEqual(farm.place().events, []);
  farm.ask("w1");
  assert.equal(farm.place().events.length, 1);
  const early = { attempts: [], idleDevices: ["cpu"], draining: false }; // before the lease arrived
  farm.do({ type: "progress", worker: "w1", ...early });
  assert.equal(farm.place().events.length, 0);
});

test("tiers come in order, and within a tier the oldest batch first", () => {
  const farm = new TestFarm();
  farm.submit("late", { priority: 3, clips: 1 });
  farm.submit("first", { priority: 1, clips: 1 });
  farm.submit("second", { priority: 1, clips: 1 });
  const order: string[] = [];
  farm.join("w1");
  for (let i = 0; i < 3; i++) {
    farm.place();
    const lease = farm.lease("w1");
    order.push(lease.batch);
    farm.complete("w1", lease);
    farm.ask("w1");
  }
  assert.deepEqual(order, ["first", "second", "late"]);
});

const mismatches = [
  ["a worker without the model", { models: [] }],
  ["a worker with other weights", { models: [{ ...testModel, weightsDigest: "v" }] }],
  ["a device of another dtype", { devices: [testDevice({ dtype: "bf16" })] }],
  ["a device of another backend", { devices: [testDevice({ name: "cuda:0" })] }],
  ["a device that is starting", { devices: [testDevice({ condition: "starting" })] }],
] as const;

for (const [what, hello] of mismatches) {
  test(`no lease goes to ${what}`, () => {
    const farm = new TestFarm();
    farm.submit("b1", { spec: { ...testSpec, dtype: "fp32", device: "cpu" } });
    farm.join("w1", hello);
    assert.deepEqual(farm.place().events, []);
    farm.join("w2");
    assert.equal(farm.place().events.length, 1);
  });
}

test("a lease that expires returns its clip to the queue, and its late report is ignored", () => {
  const farm = leased();
  const old = farm.lease("w1");
  assert.deepEqual(farm.wait(leaseMs).events, []);
  assert.deepEqual(types(farm.wait(1).events), ["AttemptLost"]);
  assert.equal(phase(farm, "b1"), "queued");
  farm.join("w2");
  assert.deepEqual(types(farm.place().events), ["LeaseGranted"]);
  const late = farm.complete("w1", old);
  assert.deepEqual(late.events, []);
  assert.equal(late.effects[0]?.type, "superseded");
  assert.deepEqual(types(farm.complete("w2", farm.lease("w2")).events), ["ClipPublished"]);
  const doubled = farm.complete("w2", { batch: "b1", clip: 0, attempt: 2 });
  assert.deepEqual(doubled.events, []);
  assert.deepEqual(
    doubled.effects.map((effect) => "discard" in effect && effect.discard),
    [false],
  );
});

test("progress renews a lease for as long as it names the attempt", () => {
  const farm = leased();
  for (let i = 0; i < 10; i++) {
    farm.now += leaseMs;
    farm.ask("w1", i);
    assert.deepEqual(farm.wait(0).events, []);
  }
  assert.equal(farm.leasesOf("w1").length, 1);
});

test("an agent that renders on after its lease was lost is told to stop", () => {
  const farm = leased();
  const { batch, clip, attempt } = farm.lease("w1");
  farm.wait(leaseMs + 1);
  const report = { batch, clip, attempt, stage: "denoise", step: 9, steps: 30, totals: null };
  const { effects } = farm.do({
    type: "progress",
    worker: "w1",
    attempts: [report],
    idleDevices: [],
    draining: false,
  });
  const ref = { batch, clip, attempt };
  assert.deepEqual(effects, [{ type: "stop_attempt", worker: "w1", ref, reason: "superseded" }]);
});

test("after a replay, held attempts go on and the others are lost when their time is over", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2 });
  farm.join("w1");
  farm.join("w2");
  farm.place();
  farm.restart();
  farm.join("w1", { held: [farm.lease("w1")] });
  farm.now += leaseMs;
  farm.ask("w1", 1);
  assert.deepEqual(types(farm.wait(1).events), ["AttemptLost"]);
  assert.equal(farm.leasesOf("w1").length, 1);
  assert.equal(farm.leasesOf("w2").length, 0);
});

test("an agent that comes back without its attempt loses it at once", () => {
  const farm = leased();
  assert.deepEqual(types(farm.join("w1", { held: [farm.lease("w1")] }).events), []);
  assert.deepEqual(types(farm.join("w1").events), ["AttemptLost"]);
});

test("a failed attempt is tried again after a wait, elsewhere if there is an elsewhere", () => {
  const farm = leased();
  farm.join("w2");
  assert.deepEqual(types(farm.fail("w1", farm.lease("w1")).events), ["AttemptFailed"]);
  assert.equal(phase(farm, "b1"), "retry_wait");
  farm.ask("w1");
  assert.deepEqual(farm.place().events, []);
  farm.wait(1_000);
  farm.place();
  assert.equal(farm.lease("w2").attempt, 2);
});

test("with nowhere else to go, a clip is tried on the same worker, and fails after three", () => {
  const farm = leased();
  for (let attempt = 1; attempt <= 3; attempt++) {
    assert.equal(farm.lease("w1").attempt, attempt);
    farm.fail("w1", farm.lease("w1"));
    farm.wait(4_000);
    farm.ask("w1");
    farm.place();
  }
  assert.equal(phase(farm, "b1"), "failed");
  assert.equal(batchPhase(farm, "b1"), "failed");
});

test("invalid input is never tried again", () => {
  const farm = leased();
  const { events } = farm.fail("w1", farm.lease("w1"), "INVALID_ARGUMENT");
  assert.deepEqual(types(events), ["AttemptFailed", "ClipFailed"]);
});

test("input that is no worker's fault keeps no worker from the rest of the batch", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 6 });
  farm.join("w1");
  farm.place();
  for (let i = 0; i < 4; i++) {
    farm.fail("w1", farm.lease("w1"), "INVALID_ARGUMENT");
    farm.ask("w1");
    farm.place();
  }
  assert.equal(farm.lease("w1").clip, 4, "it goes on after more failures than bar a worker");
});

test("interruptions are no failures, and a clip survives many of them", () => {
  const farm = leased();
  for (let i = 0; i < 10; i++) {
    assert.deepEqual(types(farm.fail("w1", farm.lease("w1"), "UNAVAILABLE").events), [
      "AttemptLost",
    ]);
    farm.wait(60_000);
    farm.ask("w1");
    farm.place();
  }
  assert.equal(farm.lease("w1").attempt, 11);
  assert.equal(farm.state.batches.get("b1")?.clips.get(0)?.failures, 0);
});

test("out of memory goes once to a bigger device, and then fails", () => {
  const farm = leased();
  farm.join("big", { devices: [testDevice({ memoryBytes: 16e9 })] });
  farm.fail("w1", farm.lease("w1"), "OUT_OF_MEMORY");
  farm.wait(2_000);
  farm.ask("w1");
  farm.ask("big");
  farm.place();
  const { events } = farm.fail("big", farm.lease("big"), "OUT_OF_MEMORY");
  assert.deepEqual(types(events), ["AttemptFailed", "ClipFailed"]);
});

test("out of memory fails at once when no device is bigger", () => {
  const farm = leased();
  farm.join("w2");
  const { events } = farm.fail("w1", farm.lease("w1"), "OUT_OF_MEMORY");
  assert.deepEqual(types(events), ["AttemptFailed", "ClipFailed"]);
});

test("a worker that fails a batch thrice gets no more of it; with nobody left, it fails", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 10 });
  farm.join("w1");
  for (let i = 0; i < 3; i++) {
    farm.place();
    farm.fail("w1", farm.lease("w1"));
    farm.ask("w1");
  }
  assert.deepEqual(farm.place().events, []);
  farm.join("w2");
  assert.equal(farm.place().events.length, 1);
  farm.complete("w2", farm.lease("w2"));
  farm.do({ type: "gone", worker: "w2" });
  farm.wait(leaseMs + 1);
  assert.equal(batchPhase(farm, "b1"), "failed");
  assert.match(farm.state.batches.get("b1")?.clips.get(9)?.failure?.message ?? "", /it broke/);
});

test("cancelling ends every clip, stops what runs, and publishes nothing any more", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 3 });
  farm.join("w1");
  farm.place();
  const lease = farm.lease("w1");
  const { effects } = farm.do({ type: "cancel", batch: "b1" });
  const ref = { batch: "b1", clip: 0, attempt: 1 };
  assert.deepEqual(effects, [{ type: "stop_attempt", worker: "w1", ref, reason: "cancelled" }]);
  assert.equal(phase(farm, "b1", 2), "cancelled");
  farm.submit("b2");
  assert.deepEqual(farm.place().events, [], "its device is free only when the agent says so");
  assert.deepEqual(farm.fail("w1", lease, "CANCELLED").effects, []);
  assert.deepEqual(farm.complete("w1", lease).events, []);
  farm.ask("w1");
  assert.equal(farm.place().events.length, 1);
  assert.deepEqual(farm.do({ type: "cancel", batch: "b1" }).events, [], "twice is once");
  assert.equal(farm.do({ type: "cancel", batch: "b9" }).refusal?.code, "NOT_FOUND");
});

test("the same idempotency key answers the same batch, and refuses another body", () => {
  const farm = new TestFarm();
  farm.submit("b1", { idempotencyKey: "k" });
  const again = farm.submit("b2", { idempotencyKey: "k" });
  assert.deepEqual([again.batch, again.events.length], ["b1", 0]);
  const other = farm.submit("b3", { idempotencyKey: "k", bodySha256: "other" });
  assert.equal(other.refusal?.code, "ALREADY_EXISTS");
  farm.now += submissionsKeptMs;
  assert.equal(farm.submit("b4", { idempotencyKey: "k", bodySha256: "other" }).batch, "b4");
});

test("too many waiting clips are refused at submit", () => {
  const farm = new TestFarm();
  for (let i = 0; i < 10; i++) assert.equal(farm.submit(`b${i}`, { clips: 100_000 }).refusal, null);
  assert.equal(farm.submit("b10", { clips: 1 }).refusal?.code, "RESOURCE_EXHAUSTED");
});

test("a replay of the log gives the state that grew", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 4, idempotencyKey: "k" });
  farm.join("w1");
  farm.place();
  farm.ask("w1", 1);
  farm.fail("w1", farm.lease("w1"));
  farm.wait(5_000);
  farm.ask("w1");
  farm.place();
  farm.complete("w1", farm.lease("w1"));
  farm.submit("b2");
  farm.do({ type: "cancel", batch: "b2" });
  assert.deepEqual(replayed(farm.turns), farm.state);
});
