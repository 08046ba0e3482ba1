// Random histories of a small farm: every verb, agents that come, go, stay silent, repeat
// themselves and report late, devices that fail, leaders that restart from events or from a
// snapshot. After every command the invariants are checked against the log and the slow way against
// the state; in the end, with the faults gone, every clip must be terminal.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  replayed,
  TestFarm,
  testDevice,
  testHello,
  testPlan,
  testPreview,
  testSpec,
} from "../../test/support/coordinator-core.js";
import {
  checkCounts,
  checkNobodyIdles,
  LogChecks,
} from "../../test/support/coordinator-core-checks.js";
import type { Command } from "./commands.js";
import type { AttemptRef } from "./events.js";
import { handle, openFarm } from "./farm.js";
import type { WorkerHello } from "./liveness.js";
import { defaultRules, type Rules } from "./rules.js";
import { decodeState, encodeState } from "./snapshot.js";

const rules: Rules = {
  ...defaultRules,
  tenants: { small: { ...defaultRules.tenantDefault, weight: 2, devicesMax: 1, batchesMax: 2 } },
  tierRaiseMs: 20_000,
  quarantine: {
    ...defaultRules.quarantine,
    failuresMax: 2,
    backoffMs: 1_000,
    canaryMs: 20_000,
    canariesMax: 2,
  },
  stuck: { factor: 5, floorMs: 25_000, unlearntMs: 60_000 },
};

const otherKind = [testDevice({ name: "cuda:0", kind: "gpu-y", memoryBytes: 16e9 })];
const agents: Readonly<Record<string, Partial<WorkerHello>>> = {
  w1: { devices: [testDevice(), ...otherKind] },
  w2: {},
  w3: { devices: otherKind },
};
const workers = Object.keys(agents);

const codes = [
  "ENGINE_CRASH",
  "ENGINE_CRASH",
  "ENGINE_CRASH",
  "UNAVAILABLE",
  "INTERRUPTED",
  "OUT_OF_MEMORY",
  "IO",
  "INVALID_ARGUMENT",
  "INVALID_CHECKPOINT",
  "CANCELLED",
];

const pick = fc.nat(1000);
const worker = fc.constantFrom(...workers);
const range = fc
  .tuple(fc.nat(4), fc.nat(2))
  .map(([first, more]): readonly [number, number] => [first, first + more]);

const action = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("submit"),
      clips: fc.integer({ min: 1, max: 5 }),
      priority: fc.nat(4),
      tenant: fc.constantFrom("small", "a", "b"),
      segments: fc.integer({ min: 1, max: 2 }),
      preview: fc.boolean(),
      device: fc.constantFrom("", "", "cuda"),
      peakBytes: fc.constantFrom(2, 2, 12e9, 32e9),
      deadline: fc.option(fc.nat(50_000)),
    }),
  },
  fc.record({ type: fc.constantFrom("cancel", "restart", "resume"), pick }),
  fc.record({ type: fc.constant("pause"), pick, cutRunning: fc.boolean() }),
  fc.record({ type: fc.constant("set_priority"), pick, priority: fc.nat(4) }),
  fc.record({ type: fc.constant("move"), pick, place: fc.constantFrom("first", "last") }),
  {
    weight: 10,
    arbitrary: fc.record({
      type: fc.constantFrom("retry", "skip", "promote", "approve", "reject"),
      pick,
      clips: fc.array(range, { maxLength: 2 }),
    }),
  },
  fc.record({ type: fc.constantFrom("join", "gone", "release"), worker, pick }),
  { weight: 2, arbitrary: fc.record({ type: fc.constant("canary"), worker, pick }) },
  fc.record({ type: fc.constant("drain"), worker, undo: fc.boolean() }),
  fc.record({ type: fc.constant("break"), worker, pick }),
  { weight: 12, arbitrary: fc.record({ type: fc.constant("ask"), worker, pick }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("complete"), worker, pick }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("checkpoint"),
      worker,
      pick,
      step: fc.constantFrom(1, 2, 3, 10, 20, 25, 30),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("fail"),
      worker,
      pick,
      code: fc.constantFrom(...codes),
    }),
  },
  { weight: 5, arbitrary: fc.record({ type: fc.constant("wait"), ms: fc.nat(9_000) }) },
);

type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;
type Verb = Extract<Action, { readonly clips: readonly (readonly [number, number])[] }>;

/** A farm with every attempt ever granted, so that late and doubled reports can be made. */
class World {
  readonly farm = new TestFarm(rules);
  readonly #checks = new LogChecks();
  #batches = 0;

  constructor() {
    for (const worker of workers) this.#join(worker);
  }

  run(step: Action): void {
    this.#act(step);
    this.farm.place();
    this.check();
    checkNobodyIdles(this.farm.farm, this.farm.now);
  }

  check(): void {
    const { farm } = this;
    this.#checks.check(farm.events);
    checkCounts(farm.state);
  }

  #act(step: Action): void {
    const { farm } = this;
    switch (step.type) {
      case "submit": {
        const { clips, priority, tenant, segments } = step;
        const preview = step.preview ? testPreview : null;
        const spec = { ...testSpec, device: step.device };
        const deadlineAt = step.deadline === null ? null : farm.now + step.deadline;
        const plan = { ...testPlan, peakBytes: step.peakBytes };
        const what = { clips, priority, tenant, segments, preview, plan, spec, deadlineAt };
        if (farm.submit(`b${this.#batches + 1}`, what).refusal === null) this.#batches += 1;
        return;
      }
      case "restart":
        if (step.pick % 4 === 0) farm.restart(step.pick % 8 === 0 ? "snapshot" : "events");
        return;
      case "cancel":
      case "resume":
        farm.do({ type: step.type, batch: this.#batch(step.pick) });
        return;
      case "pause":
      case "set_priority":
      case "move":
        farm.do({ ...step, batch: this.#batch(step.pick) } as Command);
        return;
      case "retry":
      case "skip":
      case "promote":
      case "approve":
      case "reject":
        this.#verb(step);
        return;
      case "wait":
        farm.wait(step.ms);
        return;
      default:
        this.#agent(step);
    }
  }

  #verb({ type, pick, clips }: Verb): void {
    const batch = this.#batch(pick);
    const last = (this.farm.state.batches.get(batch)?.clipsTotal ?? 1) - 1;
    const inside = clips.map(([first, end]): readonly [number, number] => [
      Math.min(first, last),
      Math.min(end, last),
    ]);
    const command = { type, batch, clips: inside } as Command;
    const { clipsChanged, events } = this.farm.do(command);
    assert.equal(clipsChanged > 0, events.length > 0);
  }

  #agent(step: Extract<Action, { readonly worker: string }>): void {
    const { farm } = this;
    switch (step.type) {
      case "join":
        farm.do({ type: "hello", hello: this.#hello(step.worker, this.#held(step)) });
        return;
      case "gone":
        farm.do({ type: "gone", worker: step.worker });
        return;
      case "ask":
        farm.ask(step.worker, step.pick % 31, step.pick % 3 === 0 ? "" : "denoise");
        return;
      case "complete":
        for (const ref of this.#some(step)) farm.complete(step.worker, ref);
        return;
      case "checkpoint":
        for (const ref of this.#some(step)) farm.checkpoint(step.worker, ref, step.step);
        return;
      case "fail":
        for (const ref of this.#some(step)) farm.fail(step.worker, ref, step.code);
        return;
      case "drain":
        farm.do({ type: "drain_worker", worker: step.worker, undo: step.undo });
        return;
      case "release":
        farm.do({ type: "release_device", worker: step.worker, device: "cpu" });
        return;
      case "canary":
        this.#answerCanaries(step.worker, step.pick % 3 === 0 ? "bad" : "good");
        return;
      case "break": {
        const condition = step.pick % 2 === 0 ? "ready" : "failed";
        const [device] = this.#hello(step.worker).devices;
        if (!device) return;
        farm.do({ type: "device", worker: step.worker, device: { ...device, condition } });
        return;
      }
      default:
    }
  }

  /** Three workers that are well, until nothing is left to do. */
  settle(): void {
    const { farm } = this;
    for (const worker of workers) farm.do({ type: "drain_worker", worker, undo: true });
    for (let round = 0; round < 300; round++) {
      farm.wait(11_000);
      for (const worker of workers) {
        farm.do({ type: "hello", hello: this.#hello(worker) });
        this.#answerCanaries(worker, "good");
        for (const { name } of this.#hello(worker).devices) {
          farm.do({ type: "release_device", worker, device: name });
        }
        farm.ask(worker);
      }
      for (const batch of farm.state.unfinished.keys()) {
        farm.do({ type: "resume", batch });
        farm.do({ type: "approve", batch, clips: [] });
      }
      farm.place();
      for (const lease of [...farm.state.leases.values()]) farm.complete(lease.worker, lease);
      this.check();
      if (farm.state.unfinished.size === 0) return;
    }
    assert.fail("some clip never came to an end");
  }

  #join(worker: string): void {
    this.farm.do({ type: "hello", hello: this.#hello(worker) });
    this.farm.ask(worker);
  }

  #answerCanaries(worker: string, sha256: string): void {
    for (const canary of this.farm.farm.live.canaries.values()) {
      if (canary.worker !== worker || canary.id === "") continue;
      const { device, id } = canary;
      this.farm.do({ type: "canary_result", worker, device, id, sha256, failure: null });
    }
  }

  #hello(worker: string, held: readonly AttemptRef[] = []): WorkerHello {
    return testHello(worker, { ...agents[worker], held });
  }

  #batch(pick: number): string {
    return `b${1 + (pick % Math.max(1, this.#batches))}`;
  }

  #held({ worker, pick }: { readonly worker: string; readonly pick: number }) {
    return pick % 2 === 0 ? this.farm.leasesOf(worker) : this.#any({ pick });
  }

  /** Mostly what the worker holds, at times any attempt of late, whoever had it. */
  #some(step: { readonly worker: string; readonly pick: number }): readonly AttemptRef[] {
    const own = this.farm.leasesOf(step.worker);
    const chosen = own[step.pick % Math.max(1, own.length)];
    return chosen && step.pick % 5 > 0 ? [chosen] : this.#any(step);
  }

  #any({ pick }: { readonly pick: number }): readonly AttemptRef[] {
    const granted = this.farm.events.filter((event) => event.type === "LeaseGranted");
    const chosen = granted[granted.length - 1 - (pick % Math.max(1, Math.min(granted.length, 6)))];
    return chosen ? [chosen] : [];
  }
}

test("whatever happens, no clip is lost, held or published twice, and each comes to an end", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 80, size: "max" }), (steps) => {
      const world = new World();
      for (const step of steps) world.run(step);
      world.settle();
    }),
    { numRuns: 300 },
  );
});

test("the state that grew, its replay and its snapshot are the same, and go on alike", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60, size: "max" }), (steps) => {
      const { farm } = grown(steps);
      const again = replayed(farm.turns);
      const text = encodeState(farm.state);
      const decoded = decodeState(text);
      assert.deepEqual(again, farm.state);
      assert.deepEqual(decoded, farm.state);
      assert.equal(encodeState(again), text, "also the order of maps and sets");
      assert.equal(encodeState(decoded), text);
      const logs = [again, decoded].map((state) => {
        const opened = openFarm(state, rules, farm.now);
        return goOn().map((command, turn) =>
          handle(opened, command, farm.now + turn * 1_000, farm.turns.length + 1 + turn),
        );
      });
      assert.deepEqual(logs[0], logs[1]);
    }),
    { numRuns: 200 },
  );
});

function grown(steps: readonly Action[]): World {
  const world = new World();
  for (const step of steps) world.run(step);
  return world;
}

/** Every agent comes, asks and gets something, again and again. */
function goOn(): readonly Command[] {
  return Array.from({ length: 4 }).flatMap((): Command[] => [
    ...workers.flatMap((worker): Command[] => [
      { type: "hello", hello: testHello(worker, { ...agents[worker] }) },
      {
        ...{ type: "progress", worker, attempts: [], draining: false },
        idleDevices: ["cpu", "cuda:0"],
      },
    ]),
    { type: "expire" },
    { type: "place" },
  ]);
}
