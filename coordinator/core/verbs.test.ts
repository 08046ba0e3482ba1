import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm, testPreview } from "../../test/support/coordinator-core.js";
import type { Command } from "./commands.js";
import type { ClipRanges, FarmEvent } from "./events.js";
import { batchPhaseOf, phaseOf } from "./phases.js";
import type { Batch } from "./state.js";

const types = (events: readonly FarmEvent[]) => events.map(({ type }) => type);

function batchOf(farm: TestFarm, id = "b1"): Batch {
  const batch = farm.state.batches.get(id);
  assert.ok(batch);
  return batch;
}

function phases(farm: TestFarm, id = "b1"): readonly string[] {
  const batch = batchOf(farm, id);
  return Array.from({ length: batch.clipsTotal }, (_, clip) =>
    phaseOf(batch, batch.clips.get(clip)),
  );
}

/** A batch of four clips of which w1 renders the first. */
function working(): TestFarm {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 4 });
  farm.join("w1");
  farm.place();
  farm.report("w1", { step: 1 });
  return farm;
}

/** A batch whose one clip failed. */
function failed(): TestFarm {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1 });
  farm.join("w1");
  farm.place();
  farm.fail("w1", farm.lease("w1"), "INVALID_ARGUMENT");
  return farm;
}

const clips: ClipRanges = [[0, 0]];
const onBatches: readonly Command[] = [
  { type: "pause", batch: "b1", cutRunning: false },
  { type: "resume", batch: "b1" },
  { type: "set_priority", batch: "b1", priority: 1 },
  { type: "move", batch: "b1", place: "first" },
  { type: "skip", batch: "b1", clips },
  { type: "promote", batch: "b1", clips },
  { type: "approve", batch: "b1", clips },
  { type: "reject", batch: "b1", clips },
  { type: "retry", batch: "b1", clips },
];

for (const command of onBatches) {
  test(`${command.type} is refused where there is no such batch, and after a cancel`, () => {
    const farm = new TestFarm();
    assert.equal(farm.do(command).refusal?.code, "NOT_FOUND");
    farm.submit("b1", { preview: testPreview });
    farm.do({ type: "cancel", batch: "b1" });
    const { refusal, events } = farm.do(command);
    assert.equal(refusal?.code, "FAILED_PRECONDITION");
    assert.match(refusal?.message ?? "", /cancelled.*submit it again/);
    assert.deepEqual(events, []);
  });
}

for (const type of ["retry", "skip", "promote", "approve", "reject"] as const) {
  test(`${type} names the bound when a range leaves the batch`, () => {
    const farm = new TestFarm();
    farm.submit("b1", { clips: 3, preview: testPreview });
    const { refusal } = farm.do({ type, batch: "b1", clips: [[1, 3]] });
    assert.equal(refusal?.code, "INVALID_ARGUMENT");
    assert.match(refusal?.message ?? "", /clip 3 .* clips 0 to 2/);
    assert.equal(farm.do({ type, batch: "b1", clips: [[2, 1]] }).refusal?.code, "INVALID_ARGUMENT");
  });
}

for (const type of ["skip", "promote", "reject"] as const) {
  test(`${type} wants to know which clips`, () => {
    const farm = new TestFarm();
    farm.submit("b1", { preview: testPreview });
    const { refusal } = farm.do({ type, batch: "b1", clips: [] });
    assert.equal(refusal?.code, "INVALID_ARGUMENT");
  });
}

test("a verdict needs a preview", () => {
  const farm = working();
  const { refusal } = farm.do({ type: "approve", batch: "b1", clips: [] });
  assert.equal(refusal?.code, "FAILED_PRECONDITION");
});

test("a priority that no tier has is refused", () => {
  const farm = working();
  const { refusal } = farm.do({ type: "set_priority", batch: "b1", priority: 5 });
  assert.equal(refusal?.code, "INVALID_ARGUMENT");
});

test("a paused batch gets no lease, finishes what runs, and goes on when resumed", () => {
  const farm = working();
  farm.do({ type: "pause", batch: "b1", cutRunning: false });
  assert.equal(batchPhaseOf(batchOf(farm)), "paused");
  assert.deepEqual(farm.do({ type: "pause", batch: "b1", cutRunning: false }).events, []);
  farm.complete("w1", farm.lease("w1"));
  farm.ask("w1");
  assert.deepEqual(farm.place().events, []);
  assert.deepEqual(types(farm.do({ type: "resume", batch: "b1" }).events), ["BatchResumed"]);
  assert.deepEqual(farm.do({ type: "resume", batch: "b1" }).events, []);
  assert.equal(farm.place().events.length, 1);
});

test("a pause takes back what has not begun, and cuts what runs only when asked to", () => {
  const farm = working();
  farm.ask("w1", 29);
  farm.place();
  const [running, waiting] = farm.leasesOf("w1");
  assert.deepEqual([running?.clip, waiting?.clip], [0, 1]);
  // Progress names the second one, which has not begun.
  const { events, effects } = farm.do({ type: "pause", batch: "b1", cutRunning: false });
  assert.deepEqual(types(events), ["BatchPaused", "AttemptLost"]);
  assert.deepEqual(
    effects.map((effect) => "reason" in effect && effect.reason),
    ["revoked"],
  );
  assert.equal(batchOf(farm).clips.get(1)?.interruptions, 0);
  const again = farm.do({ type: "pause", batch: "b1", cutRunning: true });
  assert.deepEqual(again.events, []);
  const ref = { batch: "b1", clip: 0, attempt: 1 };
  assert.deepEqual(again.effects, [{ type: "cut_attempt", worker: "w1", ref, reason: "paused" }]);
  assert.deepEqual(farm.do({ type: "pause", batch: "b1", cutRunning: true }).effects, []);
  const [lost] = farm.fail("w1", ref, "INTERRUPTED").events;
  assert.equal(lost?.type === "AttemptLost" && lost.reason, "cut");
});

test("clips that are skipped end without a video, and what runs of them is stopped", () => {
  const farm = working();
  const { events, effects, clipsChanged } = farm.do({
    ...{ type: "skip", batch: "b1" },
    clips: [
      [2, 2],
      [0, 1],
      [1, 2],
    ],
  });
  assert.equal(clipsChanged, 3);
  assert.deepEqual(events[0]?.type === "ClipsSkipped" && events[0].clips, [[0, 2]]);
  const ref = { batch: "b1", clip: 0, attempt: 1 };
  assert.deepEqual(effects, [{ type: "stop_attempt", worker: "w1", ref, reason: "skipped" }]);
  assert.deepEqual(phases(farm), ["skipped", "skipped", "skipped", "queued"]);
  assert.equal(farm.do({ type: "skip", batch: "b1", clips: [[0, 2]] }).clipsChanged, 0);
  assert.deepEqual(farm.complete("w1", ref).events, [], "a late report changes nothing");
  farm.do({ type: "skip", batch: "b1", clips: [[3, 3]] });
  assert.equal(batchPhaseOf(batchOf(farm)), "succeeded");
});

test("an agent that still renders a skipped clip is told why it shall stop", () => {
  const farm = working();
  const { batch, clip, attempt } = farm.lease("w1");
  farm.do({ type: "skip", batch: "b1", clips: [[0, 0]] });
  const report = { batch, clip, attempt, stage: "denoise", step: 9, steps: 30, totals: null };
  const progress = { worker: "w1", attempts: [report], idleDevices: [], draining: false };
  const { effects } = farm.do({ type: "progress", ...progress });
  assert.deepEqual(
    effects.map((effect) => "reason" in effect && effect.reason),
    ["skipped"],
  );
});

test("a failed clip is retried with nothing against it, and its batch goes on", () => {
  const farm = failed();
  assert.equal(batchPhaseOf(batchOf(farm)), "failed");
  const { events, clipsChanged } = farm.do({ type: "retry", batch: "b1", clips: [] });
  assert.deepEqual([types(events), clipsChanged], [["ClipsRetried"], 1]);
  assert.deepEqual(phases(farm), ["queued"]);
  assert.equal(batchOf(farm).clips.get(0)?.failures, 0);
  farm.ask("w1");
  farm.place();
  assert.equal(farm.lease("w1").attempt, 2);
  farm.complete("w1", farm.lease("w1"));
  assert.equal(batchPhaseOf(batchOf(farm)), "succeeded");
  assert.equal(farm.do({ type: "retry", batch: "b1", clips: [[0, 0]] }).clipsChanged, 0);
});

test("a retry without ranges takes the failed clips and leaves the skipped ones", () => {
  const farm = working();
  farm.do({ type: "skip", batch: "b1", clips: [[1, 1]] });
  farm.fail("w1", farm.lease("w1"), "INVALID_ARGUMENT");
  farm.do({ type: "retry", batch: "b1", clips: [] });
  assert.deepEqual(phases(farm), ["queued", "skipped", "queued", "queued"]);
  farm.do({ type: "retry", batch: "b1", clips: [[0, 3]] });
  assert.deepEqual(phases(farm), ["queued", "queued", "queued", "queued"]);
});

test("clips that are promoted are next, the newest wish first", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 6 });
  farm.do({ type: "promote", batch: "b1", clips: [[4, 5]] });
  const wish = farm.do({ type: "promote", batch: "b1", clips: [[2, 2]] });
  assert.equal(wish.clipsChanged, 1);
  farm.join("w1");
  const order: number[] = [];
  for (let i = 0; i < 6; i++) {
    farm.place();
    order.push(farm.lease("w1").clip);
    farm.complete("w1", farm.lease("w1"));
    farm.ask("w1");
  }
  assert.deepEqual(order, [2, 4, 5, 0, 1, 3]);
});

test("a batch moves before and behind the others of its tenant", () => {
  const farm = new TestFarm();
  for (const id of ["b1", "b2", "b3"]) farm.submit(id, { clips: 1 });
  farm.do({ type: "move", batch: "b1", place: "last" });
  farm.do({ type: "move", batch: "b3", place: "first" });
  farm.join("w1");
  const order: string[] = [];
  for (let i = 0; i < 3; i++) {
    farm.place();
    order.push(farm.lease("w1").batch);
    farm.complete("w1", farm.lease("w1"));
    farm.ask("w1");
  }
  assert.deepEqual(order, ["b3", "b2", "b1"]);
});

test("another priority counts at once, also for what runs", () => {
  const farm = working();
  farm.submit("b2", { clips: 1, priority: 1 });
  farm.do({ type: "set_priority", batch: "b1", priority: 0 });
  assert.equal(farm.lease("w1").tier, 0);
  assert.deepEqual(farm.do({ type: "set_priority", batch: "b1", priority: 0 }).events, []);
  farm.complete("w1", farm.lease("w1"));
  farm.ask("w1");
  farm.place();
  assert.equal(farm.lease("w1").batch, "b1");
});

test("a preview waits for its verdict: approved it is rendered, rejected it ends", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2, preview: testPreview });
  farm.join("w1");
  for (let i = 0; i < 2; i++) {
    farm.place();
    assert.equal(farm.lease("w1").preview, true);
    assert.deepEqual(types(farm.complete("w1", farm.lease("w1")).events), ["PreviewPublished"]);
    farm.ask("w1");
  }
  assert.deepEqual(phases(farm), ["awaiting_approval", "awaiting_approval"]);
  assert.equal(batchPhaseOf(batchOf(farm)), "awaiting_approval");
  assert.deepEqual(farm.place().events, []);
  assert.equal(farm.do({ type: "reject", batch: "b1", clips: [[1, 1]] }).clipsChanged, 1);
  assert.equal(farm.do({ type: "approve", batch: "b1", clips: [] }).clipsChanged, 1);
  assert.deepEqual(phases(farm), ["queued", "rejected"]);
  farm.place();
  assert.deepEqual([farm.lease("w1").preview, farm.lease("w1").attempt], [false, 2]);
  assert.deepEqual(types(farm.complete("w1", farm.lease("w1")).events), ["ClipPublished"]);
  assert.equal(batchPhaseOf(batchOf(farm)), "succeeded");
  assert.equal(batchOf(farm).clips.get(0)?.preview?.attempt, 1);
});

test("a rejected clip that is retried begins with a preview again", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1, preview: testPreview });
  farm.join("w1");
  farm.place();
  farm.complete("w1", farm.lease("w1"));
  farm.do({ type: "reject", batch: "b1", clips });
  assert.equal(farm.do({ type: "retry", batch: "b1", clips }).clipsChanged, 1);
  farm.ask("w1");
  farm.place();
  assert.equal(farm.lease("w1").preview, true);
});

test("a clip that was skipped before its verdict waits for it again when retried", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2, preview: testPreview });
  farm.join("w1");
  farm.place();
  farm.complete("w1", farm.lease("w1"));
  farm.do({ type: "skip", batch: "b1", clips });
  assert.equal(farm.do({ type: "retry", batch: "b1", clips }).clipsChanged, 1);
  assert.deepEqual(phases(farm), ["awaiting_approval", "queued"]);
  farm.do({ type: "approve", batch: "b1", clips: [] });
  farm.do({ type: "skip", batch: "b1", clips });
  farm.do({ type: "retry", batch: "b1", clips });
  assert.deepEqual(phases(farm), ["queued", "queued"], "the verdict stands");
});

test("segments come one after the other, and the clip is published with the last", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 1, segments: 3 });
  farm.join("w1");
  farm.join("w2");
  const told: string[] = [];
  for (let segment = 0; segment < 3; segment++) {
    assert.equal(farm.place().events.length, 1, "the next one only");
    const [lease] = farm.state.leases.values();
    assert.ok(lease);
    assert.deepEqual([lease.segment, lease.attempt], [segment, segment + 1]);
    told.push(...types(farm.complete(lease.worker, lease).events));
    farm.ask(lease.worker);
  }
  assert.deepEqual(told, ["SegmentCompleted", "SegmentCompleted", "ClipPublished"]);
  assert.equal(batchOf(farm).clips.get(0)?.segmentsDone.length, 2);
});

test("a drained worker hands back what it has, gets nothing, and works again when told", () => {
  const farm = working();
  farm.ask("w1", 29);
  farm.place();
  const { events, effects } = farm.do({ type: "drain_worker", worker: "w1", undo: false });
  assert.deepEqual(types(events), ["WorkerDrained", "AttemptLost"]);
  assert.deepEqual(
    effects.map(({ type }) => type),
    ["stop_attempt", "cut_attempt"],
  );
  farm.fail("w1", { batch: "b1", clip: 0, attempt: 1 }, "INTERRUPTED");
  farm.restart(); // the drain is in the log
  farm.join("w1");
  assert.deepEqual(farm.place().events, []);
  farm.do({ type: "drain_worker", worker: "w1", undo: true });
  farm.ask("w1");
  assert.equal(farm.place().events.length, 1);
  const { refusal } = farm.do({ type: "drain_worker", worker: "w9", undo: false });
  assert.equal(refusal?.code, "NOT_FOUND");
});

test("an agent that is about to stop gets no lease", () => {
  const farm = new TestFarm();
  farm.submit("b1");
  farm.join("w1");
  farm.report("w1", { idleDevices: ["cpu"], draining: true });
  assert.deepEqual(farm.place().events, []);
  farm.join("w1", { draining: true });
  farm.report("w1", { idleDevices: ["cpu"], draining: true });
  assert.deepEqual(farm.place().events, []);
});
