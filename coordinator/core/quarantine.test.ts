import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm, testModel } from "../../test/support/coordinator-core.js";
import type { Decision, Effect } from "./commands.js";
import type { FarmEvent } from "./events.js";
import { defaultRules } from "./rules.js";

const rules = {
  ...defaultRules,
  quarantine: {
    ...defaultRules.quarantine,
    ...{ backoffMs: 1_000, backoffMsMax: 4_000, canaryMs: 8_000, canariesMax: 3 },
  },
};
const types = (events: readonly FarmEvent[]) => events.map(({ type }) => type);
type Try = Extract<Effect, { type: "try_device" }>;

function tries({ effects }: Decision): readonly Try[] {
  return effects.filter((effect) => effect.type === "try_device");
}

/** The worker's device fails three clips of three batches running. */
function quarantine(farm: TestFarm, worker: string, code = "ENGINE_CRASH"): Decision {
  let newest: Decision | undefined;
  for (let i = 0; i < 3; i++) {
    farm.ask(worker);
    farm.place();
    newest = farm.fail(worker, farm.lease(worker), code);
  }
  assert.ok(newest);
  return newest;
}

/** A farm with much to do. */
function farmOf(...workers: readonly string[]): TestFarm {
  const farm = new TestFarm(rules);
  for (let i = 0; i < 9; i++) farm.submit(`b${i}`, { clips: 5, tenant: `t${i}` });
  for (const id of workers) farm.join(id);
  return farm;
}

/** Time passes while the agents are well; the canaries that are asked for meanwhile. */
function pass(farm: TestFarm, ms: number): readonly Try[] {
  const seen: Try[] = [];
  for (let passed = 0; passed < ms; passed += 1_000) {
    farm.now += 1_000;
    for (const [id, { connected }] of farm.farm.live.workers) if (connected) farm.report(id);
    seen.push(...tries(farm.wait(0)));
  }
  return seen;
}

function answer(farm: TestFarm, canary: Try | undefined, sha256: string): Decision {
  assert.ok(canary);
  const { worker, device, id } = canary;
  const failure = sha256 === "" ? { code: "ENGINE_CRASH", message: "again" } : null;
  return farm.do({ type: "canary_result", worker, device, id, sha256, failure });
}

test("a device that fails thrice running gets no lease, until a canary succeeds", () => {
  const farm = farmOf("w1");
  const events = quarantine(farm, "w1").events;
  assert.equal(types(events).at(-1), "DeviceQuarantined");
  farm.ask("w1");
  assert.deepEqual(farm.place().events, []);
  assert.deepEqual(tries(farm.wait(0)), [], "not before its wait is over");
  const [canary] = pass(farm, 1_000);
  assert.equal(canary?.model, testModel.name);
  assert.deepEqual(pass(farm, 3_000), [], "one at a time");
  const { events: released } = answer(farm, canary, "cafe");
  assert.deepEqual(types(released), ["DeviceReleased"]);
  farm.ask("w1");
  assert.equal(farm.place().events.length, 1);
});

for (const code of ["INVALID_ARGUMENT", "OUT_OF_MEMORY", "INTERRUPTED"]) {
  test(`${code} speaks against no device`, () => {
    const farm = farmOf("w1");
    quarantine(farm, "w1", code);
    assert.equal(farm.state.troubles.size, 0);
  });
}

test("a success between two failures clears a device", () => {
  const farm = farmOf("w1");
  for (let i = 0; i < 6; i++) {
    farm.ask("w1");
    farm.place();
    if (i % 3 === 2) farm.complete("w1", farm.lease("w1"));
    else farm.fail("w1", farm.lease("w1"));
  }
  assert.equal(farm.state.troubles.size, 0);
});

test("a quarantine survives a failover, and the new leader tries the device", () => {
  const farm = farmOf("w1");
  quarantine(farm, "w1");
  farm.restart("snapshot");
  farm.join("w1");
  assert.deepEqual(farm.place().events, []);
  const [canary] = pass(farm, 2_000);
  assert.deepEqual(types(answer(farm, canary, "cafe").events), ["DeviceReleased"]);
});

test("a canary that renders other bits than its kind keeps its device away, and says so", () => {
  const farm = farmOf("w1");
  quarantine(farm, "w1");
  answer(farm, pass(farm, 1_000)[0], "cafe");
  farm.join("w2");
  quarantine(farm, "w2");
  const { events } = answer(farm, pass(farm, 1_000)[0], "bad0");
  assert.deepEqual(types(events), ["DeviceQuarantined"]);
  const failure = events[0]?.type === "DeviceQuarantined" ? events[0].failure : undefined;
  assert.match(failure?.message ?? "", /bad0.*cafe/);
  const again = pass(farm, 4_000);
  assert.deepEqual(types(answer(farm, again[0], "cafe").events), ["DeviceReleased"]);
});

test("canaries wait longer each time, and come a bounded number of times", () => {
  const farm = farmOf("w1");
  quarantine(farm, "w1");
  assert.equal(pass(farm, 1_000).length, 1);
  answer(farm, lastTry(farm), "");
  assert.equal(pass(farm, 1_000).length, 0);
  assert.equal(pass(farm, 1_000).length, 1);
  assert.equal(pass(farm, 8_000).length, 0, "it is not answered, which is a failure");
  assert.equal(pass(farm, 5_000).length, 1);
  answer(farm, lastTry(farm), "");
  assert.deepEqual(pass(farm, 60_000), []);
  const release = { type: "release_device", worker: "w1", device: "cpu" } as const;
  assert.deepEqual(types(farm.do(release).events), ["DeviceReleased"]);
  assert.deepEqual(farm.do(release).events, []);
  farm.ask("w1");
  assert.equal(farm.place().events.length, 1);
});

/** The canary in flight. */
function lastTry(farm: TestFarm): Try {
  for (const { worker, device, id } of farm.farm.live.canaries.values()) {
    if (id !== "") return { type: "try_device", worker, device, id, model: testModel.name };
  }
  throw new Error("no canary is in flight");
}

test("an answer to another canary changes nothing", () => {
  const farm = farmOf("w1");
  quarantine(farm, "w1");
  const [canary] = pass(farm, 1_000);
  assert.ok(canary);
  const { events } = answer(farm, { ...canary, id: "other" }, "cafe");
  assert.deepEqual(events, []);
});

test("clips wait for a quarantined device, but not once its last canary has failed", () => {
  const retry = { ...rules.retry, workerFailuresMax: 1, failuresMax: 9 };
  const farm = new TestFarm({ ...rules, retry });
  farm.submit("b1", { clips: 2 });
  farm.join("w1");
  farm.place();
  farm.fail("w1", farm.lease("w1")); // and is barred from b1
  for (let i = 0; i < 3; i++) farm.submit(`c${i}`, { clips: 1, priority: 0 });
  farm.join("w2");
  quarantine(farm, "w2");
  const left = () => farm.state.batches.get("b1")?.endedAt === null;
  for (let i = 0; i < 3; i++) {
    pass(farm, 5_000);
    assert.ok(left(), "the next canary may succeed");
    answer(farm, lastTry(farm), "");
  }
  pass(farm, 1_000);
  assert.ok(!left());
  const failure = farm.state.batches.get("b1")?.clips.get(1)?.failure;
  assert.match(failure?.message ?? "", /none of 1 devices may run it any more; .* it broke/);
});

test("an unknown device is refused", () => {
  const farm = farmOf("w1");
  const { refusal } = farm.do({ type: "release_device", worker: "w1", device: "cuda:7" });
  assert.equal(refusal?.code, "NOT_FOUND");
});
