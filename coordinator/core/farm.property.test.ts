// Random histories of a small farm: submissions, cancels, agents that come, go, stay silent, repeat
// themselves and report late, leaders that restart. After every command the invariants are checked
// against the log; in the end, with the faults gone, every clip must be terminal.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { replayed, TestFarm, testHello } from "../../test/support/coordinator-core.js";
import type { AttemptRef, FarmEvent } from "./events.js";

const workers = ["w1", "w2", "w3"];
const codes = ["ENGINE_CRASH", "UNAVAILABLE", "OUT_OF_MEMORY", "INVALID_ARGUMENT", "CANCELLED"];

type Action =
  | { readonly type: "submit"; readonly clips: number; readonly priority: number }
  | { readonly type: "cancel" | "restart"; readonly pick: number }
  | {
      readonly type: "join" | "gone" | "ask" | "complete";
      readonly worker: string;
      readonly pick: number;
    }
  | { readonly type: "fail"; readonly worker: string; readonly pick: number; readonly code: string }
  | { readonly type: "wait"; readonly ms: number };

const pick = fc.nat(1000);
const worker = fc.constantFrom(...workers);
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    type: fc.constant("submit"),
    clips: fc.integer({ min: 1, max: 4 }),
    priority: fc.nat(4),
  }),
  fc.record({ type: fc.constantFrom("cancel", "restart"), pick }),
  fc.record({ type: fc.constantFrom("join", "gone"), worker, pick }),
  { weight: 3, arbitrary: fc.record({ type: fc.constant("ask"), worker, pick }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("complete"), worker, pick }) },
  fc.record({ type: fc.constant("fail"), worker, pick, code: fc.constantFrom(...codes) }),
  fc.record({ type: fc.constant("wait"), ms: fc.nat(15_000) }),
);

/** A farm with every attempt ever granted, so that late and doubled reports can be made. */
class World {
  readonly farm = new TestFarm();
  #batches = 0;

  run(step: Action): void {
    const { farm } = this;
    switch (step.type) {
      case "submit":
        farm.submit(`b${++this.#batches}`, { clips: step.clips, priority: step.priority });
        break;
      case "cancel":
        farm.do({ type: "cancel", batch: `b${1 + (step.pick % Math.max(1, this.#batches))}` });
        break;
      case "restart":
        if (step.pick % 4 === 0) farm.restart();
        break;
      case "join":
        farm.do({ type: "hello", hello: testHello(step.worker, { held: this.#held(step) }) });
        break;
      case "gone":
        farm.do({ type: "gone", worker: step.worker });
        break;
      case "ask":
        farm.ask(step.worker, step.pick % 3);
        break;
      case "complete":
        for (const ref of this.#any(step)) farm.complete(step.worker, ref);
        break;
      case "fail":
        for (const ref of this.#any(step)) farm.fail(step.worker, ref, step.code);
        break;
      case "wait":
        farm.wait(step.ms);
        break;
    }
    farm.place();
    checkInvariants(farm.events);
    assert.deepEqual(replayed(farm.turns), farm.state);
  }

  /** Three workers that are well, until nothing is left to do. */
  settle(): void {
    const { farm } = this;
    for (let round = 0; round < 200; round++) {
      farm.wait(11_000);
      for (const id of workers) {
        farm.do({ type: "hello", hello: testHello(id) });
        farm.ask(id);
      }
      farm.place();
      for (const lease of [...farm.state.leases.values()]) farm.complete(lease.worker, lease);
      if (farm.state.unfinished.size === 0) return;
    }
    assert.fail("some clip never came to an end");
  }

  #held({
    worker,
    pick,
  }: {
    readonly worker: string;
    readonly pick: number;
  }): readonly AttemptRef[] {
    return pick % 2 === 0 ? this.farm.leasesOf(worker) : this.#any({ pick });
  }

  #any({ pick }: { readonly pick: number }): readonly AttemptRef[] {
    const granted = this.farm.events.filter((event) => event.type === "LeaseGranted");
    const chosen = granted[granted.length - 1 - (pick % Math.max(1, Math.min(granted.length, 6)))];
    return chosen ? [chosen] : [];
  }
}

/**
 * Told from the log alone: one live lease a clip, publication only by its holder and once, nothing
 * after the end.
 */
function checkInvariants(events: readonly FarmEvent[]): void {
  const holders = new Map<string, number>();
  const ended = new Set<string>();
  const cancelled = new Set<string>();
  for (const event of events) {
    if (event.type === "BatchCancelled") cancelled.add(event.batch);
    if (!("clip" in event)) continue;
    const key = `${event.batch}/${event.clip}`;
    assert.ok(!ended.has(key), `${event.type} after the end of ${key}`);
    assert.ok(!cancelled.has(event.batch), `${event.type} after ${event.batch} was cancelled`);
    if (event.type === "LeaseGranted") {
      assert.ok(!holders.has(key), `two live leases of ${key}`);
      holders.set(key, event.attempt);
    } else if (event.type === "ClipFailed") {
      assert.ok(!holders.has(key), `${key} fails while it is held`);
      ended.add(key);
    } else {
      assert.equal(holders.get(key), event.attempt, `${event.type} of another attempt of ${key}`);
      if (event.type !== "AttemptStarted") holders.delete(key);
      if (event.type === "ClipPublished") ended.add(key);
    }
  }
}

test("whatever happens, no clip is lost, held or published twice, and each comes to an end", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (steps) => {
      const world = new World();
      for (const step of steps) world.run(step);
      world.settle();
      checkInvariants(world.farm.events);
    }),
    { numRuns: 300 },
  );
});
