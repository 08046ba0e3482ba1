import assert from "node:assert/strict";
import { test } from "node:test";
import {
  TestFarm,
  testDevice,
  testHello,
  testPreview,
} from "../../test/support/coordinator-core.js";
import type { FarmEvent } from "./events.js";
import { defaultRules } from "./rules.js";

const types = (events: readonly FarmEvent[]) => events.map(({ type }) => type);

function leased(): TestFarm {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1 });
  farm.join("w1");
  farm.place();
  return farm;
}

function again(farm: TestFarm): void {
  farm.now += 5_000;
  farm.ask("w1");
  farm.place();
}

const refused: readonly (readonly [string, number])[] = [
  ["between refresh points", 11],
  ["at the beginning", 0],
  ["beyond the end", 31],
];

for (const [where, step] of refused) {
  test(`a checkpoint ${where} is not taken`, () => {
    const farm = leased();
    assert.deepEqual(farm.checkpoint("w1", farm.lease("w1"), step).events, []);
  });
}

test("a checkpoint is taken from the holder alone, and only when it is further on", () => {
  const farm = leased();
  const lease = farm.lease("w1");
  assert.deepEqual(farm.checkpoint("w2", lease, 10).events, []);
  assert.deepEqual(farm.checkpoint("w1", { ...lease, attempt: 2 }, 10).events, []);
  assert.deepEqual(types(farm.checkpoint("w1", lease, 20).events), ["CheckpointStored"]);
  assert.deepEqual(farm.checkpoint("w1", lease, 10).events, []);
  assert.deepEqual(farm.checkpoint("w1", lease, 20).events, []);
  assert.deepEqual(types(farm.checkpoint("w1", lease, 30).events), ["CheckpointStored"]);
});

test("what another kind of device has stored does not stand in the way", () => {
  const farm = leased();
  farm.checkpoint("w1", farm.lease("w1"), 20);
  farm.fail("w1", farm.lease("w1"), "UNAVAILABLE");
  farm.join("g1", { devices: [testDevice({ name: "cuda:0", kind: "gpu-y" })] });
  farm.place();
  assert.equal(farm.lease("g1").resumeStep, 0);
  assert.deepEqual(types(farm.checkpoint("g1", farm.lease("g1"), 10).events), ["CheckpointStored"]);
  farm.fail("g1", farm.lease("g1"), "UNAVAILABLE");
  farm.wait(5_000);
  farm.ask("g1");
  farm.place();
  assert.equal(farm.lease("g1").resumeStep, 10);
});

test("a resumed attempt is running after a step of its own, not by those it was given", () => {
  const farm = leased();
  farm.checkpoint("w1", farm.lease("w1"), 10);
  farm.fail("w1", farm.lease("w1"), "UNAVAILABLE");
  again(farm);
  assert.equal(farm.lease("w1").resumeStep, 10);
  assert.deepEqual(farm.report("w1", { step: 10 }).events, []);
  assert.deepEqual(types(farm.report("w1", { step: 11 }).events), ["AttemptStarted"]);
});

test("a checkpoint that cannot be read is given up, and nobody is blamed", () => {
  const farm = leased();
  farm.checkpoint("w1", farm.lease("w1"), 10);
  farm.fail("w1", farm.lease("w1"), "UNAVAILABLE");
  again(farm);
  const { events } = farm.fail("w1", farm.lease("w1"), "INVALID_CHECKPOINT");
  assert.deepEqual(types(events), ["AttemptFailed"]);
  const clip = farm.state.batches.get("b1")?.clips.get(0);
  assert.deepEqual([clip?.checkpoint, clip?.failures, clip?.interruptions], [null, 0, 2]);
  again(farm);
  assert.equal(farm.lease("w1").resumeStep, 0);
  farm.fail("w1", farm.lease("w1"), "INVALID_CHECKPOINT"); // now it is the weights'
  assert.equal(clip?.failures, 1);
});

test("a checkpoint belongs to its preview or segment, and ends with it", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1, segments: 2, preview: testPreview });
  farm.join("w1");
  farm.place();
  const clip = () => farm.state.batches.get("b1")?.clips.get(0);
  for (const step of [2, 20, 20]) {
    farm.checkpoint("w1", farm.lease("w1"), step);
    assert.equal(clip()?.checkpoint?.step, step);
    farm.complete("w1", farm.lease("w1"));
    assert.equal(clip()?.checkpoint, null);
    farm.do({ type: "approve", batch: "b1", clips: [] });
    if (clip()?.publication) return;
    again(farm);
    assert.equal(farm.lease("w1").resumeStep, 0);
  }
});

test("INTERRUPTED is a cut when it was asked for, and handed back when not", () => {
  const farm = leased();
  const [own] = farm.fail("w1", farm.lease("w1"), "INTERRUPTED").events;
  assert.equal(own?.type === "AttemptLost" && own.reason, "handed_back");
  again(farm);
  farm.report("w1", { step: 1 });
  farm.do({ type: "pause", batch: "b1", cutRunning: true });
  const [asked] = farm.fail("w1", farm.lease("w1"), "INTERRUPTED").events;
  assert.equal(asked?.type === "AttemptLost" && asked.reason, "cut");
});

test("a worker that was stopped beyond its lease and wakes finds its report superseded", () => {
  const farm = leased();
  const old = farm.lease("w1");
  farm.wait(defaultRules.leaseMs + 1);
  const late = farm.complete("w1", old);
  assert.deepEqual(late.events, []);
  assert.deepEqual(late.effects, [
    {
      ...{ type: "superseded", report: "completed", discard: true },
      ref: { batch: "b1", clip: 0, attempt: 1 },
    },
  ]);
});

test("a repeated report of a preview or a segment leaves its files alone", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1, segments: 2, preview: testPreview });
  farm.join("w1");
  for (let part = 0; part < 3; part++) {
    farm.ask("w1");
    farm.place();
    const { batch, clip, attempt } = farm.lease("w1");
    farm.complete("w1", { batch, clip, attempt });
    const [effect] = farm.complete("w1", { batch, clip, attempt }).effects;
    assert.equal(effect?.type === "superseded" && effect.discard, false);
    farm.do({ type: "approve", batch: "b1", clips: [] });
  }
});

test("a cut is asked for again when its agent comes back, since it may not have heard it", () => {
  const farm = leased();
  farm.report("w1", { step: 3 });
  const { batch, clip, attempt } = farm.lease("w1");
  const ref = { batch, clip, attempt };
  const hello = testHello("w1", { held: [ref] });
  assert.deepEqual(farm.do({ type: "hello", hello }).effects, []);
  const asked = farm.do({ type: "drain_worker", worker: "w1", undo: false }).effects;
  assert.deepEqual(asked, [{ type: "cut_attempt", worker: "w1", ref, reason: "drained" }]);
  farm.do({ type: "gone", worker: "w1" });
  assert.deepEqual(farm.do({ type: "hello", hello }).effects, asked);
  assert.deepEqual(types(farm.do({ type: "hello", hello: testHello("w1") }).events), [
    "AttemptLost",
  ]);
});

test("what cannot be written is tried again for minutes, and nobody is blamed", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1 });
  farm.join("w1");
  farm.join("w2");
  const batch = farm.state.batches.get("b1");
  const workers = new Set<string>();
  let waitedMs = 0;
  for (let failures = 1; failures <= 10; failures++) {
    farm.place();
    const [lease] = farm.state.leases.values();
    assert.ok(lease);
    workers.add(lease.worker);
    const events = farm.fail(lease.worker, lease, "IO").events;
    assert.deepEqual(types(events), ["AttemptFailed", ...(failures === 10 ? ["ClipFailed"] : [])]);
    const [failed] = events;
    const waitMs = failed?.type === "AttemptFailed" ? failed.retryAt - farm.now : 0;
    waitedMs += waitMs;
    farm.now += waitMs;
    for (const id of ["w1", "w2"]) farm.ask(id);
  }
  assert.ok(waitedMs > 300_000 && waitedMs < 640_000, `${waitedMs} ms`);
  assert.deepEqual([...workers].sort(), ["w1", "w2"], "elsewhere while there is an elsewhere");
  assert.deepEqual([batch?.failuresByWorker.size, farm.state.troubles.size], [0, 0]);
  assert.equal(batch?.clips.get(0)?.failure?.code, "IO");
});

test("failures of reading and writing are counted apart from crashes", () => {
  const farm = leased();
  for (const code of ["IO", "IO", "ENGINE_CRASH", "IO", "ENGINE_CRASH"]) {
    assert.deepEqual(types(farm.fail("w1", farm.lease("w1"), code).events), ["AttemptFailed"]);
    farm.now += 60_000;
    farm.ask("w1");
    farm.place();
  }
  const { events } = farm.fail("w1", farm.lease("w1"));
  assert.ok(types(events).includes("ClipFailed"), "the third crash is one too many");
});
