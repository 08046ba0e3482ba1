import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm } from "../test/support/coordinator-core.js";
import type { Command, Decision } from "./core/commands.js";
import { LiveAttempts } from "./live-attempts.js";

/** A farm whose turns are counted, of w1 with one device. */
function counted() {
  const farm = new TestFarm();
  const ends: string[] = [];
  const attempts = new LiveAttempts(farm.state, ({ outcome, reason }, stepsLost) => {
    ends.push(`${outcome} ${reason} ${stepsLost}`);
  });
  const take = (decision: Decision, ...commands: readonly Command[]): void => {
    const { events, effects } = decision;
    attempts.take({ sequence: 1, commands, events, effects });
  };
  const doAndTake = (command: Command): void => take(farm.do(command), command);
  const progress = (step: number): void => {
    const held = farm.leasesOf("w1").map(({ batch, clip, attempt }) => ({
      ...{ batch, clip, attempt, step, steps: 30 },
      ...{ stage: "denoise", totals: null },
    }));
    const idle = { idleDevices: ["cpu"], draining: false };
    doAndTake({ type: "progress", worker: "w1", attempts: held, ...idle });
  };
  return { farm, ends, take, doAndTake, progress };
}

function checkpointAt(farm: TestFarm, step: number): Command {
  const { batch, clip, attempt } = farm.lease("w1");
  const artifact = { key: "k", sha256: "ab", sizeBytes: 1 };
  const totals = {
    ...{ tokensComputed: 0, tokensReused: 0, flops: 0, flopsNone: 0, textEncodeSeconds: 0 },
    ...{ denoiseSeconds: 0, decodeSeconds: 0, encodeSeconds: 0, uploadSeconds: 0 },
  };
  const checkpoint = { step, artifact, totals };
  return { type: "checkpoint", worker: "w1", ref: { batch, clip, attempt }, checkpoint };
}

/** Gives w1 its next clip. */
function begin({ farm, take }: ReturnType<typeof counted>): void {
  farm.ask("w1");
  take(farm.place());
}

function joined() {
  const all = counted();
  all.take(all.farm.submit("b1", { clips: 3 }));
  all.take(all.farm.join("w1"));
  begin(all);
  return all;
}

test("what is lost of an attempt is what no checkpoint holds", () => {
  const all = joined();
  const { farm, ends, take, doAndTake, progress } = all;
  const [step] = farm.state.batches.get("b1")?.plan.refreshPoints ?? [];
  assert.ok(step !== undefined);
  progress(step + 3);
  doAndTake(checkpointAt(farm, step));
  take(farm.fail("w1", farm.lease("w1"), "INTERRUPTED"));
  assert.deepEqual(ends, ["lost handed_back 3"]);
  begin(all);
  assert.equal(farm.lease("w1").resumeStep, step, "the next one begins there");
  progress(step + 2);
  take(farm.fail("w1", farm.lease("w1")));
  assert.equal(ends[1], "failed ENGINE_CRASH 2", "and loses what it did itself");
});

test("an attempt that was published lost nothing, and is counted once", () => {
  const { farm, ends, take, progress } = joined();
  progress(7);
  const lease = farm.lease("w1");
  take(farm.complete("w1", lease));
  take(farm.complete("w1", lease));
  assert.deepEqual(ends, ["published none 0"]);
});

test("attempts end with their batch, and with their clip alone", () => {
  const skipped = joined();
  skipped.doAndTake({ type: "skip", batch: "b1", clips: [[0, 1]] });
  assert.deepEqual(skipped.ends, ["cancelled skipped 0"]);
  skipped.doAndTake({ type: "cancel", batch: "b1" });
  assert.equal(skipped.ends.length, 1, "of the others none was begun");
  const cancelled = joined();
  cancelled.doAndTake({ type: "cancel", batch: "b1" });
  assert.deepEqual(cancelled.ends, ["cancelled none 0"]);
});

test("a new leader counts the attempts of the one before", () => {
  const { farm, doAndTake } = joined();
  const [step] = farm.state.batches.get("b1")?.plan.refreshPoints ?? [];
  assert.ok(step !== undefined);
  doAndTake(checkpointAt(farm, step));
  farm.restart();
  const ends: string[] = [];
  const attempts = new LiveAttempts(farm.state, ({ outcome, reason }, stepsLost) => {
    ends.push(`${outcome} ${reason} ${stepsLost}`);
  });
  const { events, effects } = farm.wait(60_000);
  attempts.take({ sequence: 2, commands: [], events, effects });
  assert.deepEqual(ends, ["lost silent 0"], "what it had done since nobody has heard");
});
