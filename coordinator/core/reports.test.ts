import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm, testDevice, testPreview } from "../../test/support/coordinator-core.js";
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
