// What a farm takes and in which order: deadlines, tenants and their limits, quarantined devices
// and their canaries, as a file of rules says; through a real coordinator.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { farmWithAgent, newAgent, testHelloMessage } from "../support/coordinator-agent.js";
import { eventually, submissionOf, temporaryFolder } from "../support/coordinator-process.js";

function farmWithRules(t: TestContext, rules: object) {
  const file = path.join(temporaryFolder(t), "rules.json");
  writeFileSync(file, JSON.stringify(rules));
  return farmWithAgent(t, ["--rules", file]);
}

const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000);

test("among a tenant's batches the earliest deadline goes first", async (t) => {
  const { coordinator, agent } = await farmWithAgent(t);
  await coordinator.submit(["none"]);
  await coordinator.submit(["late"], { deadline: inHours(48) });
  const early = await coordinator.submit(["early"], { deadline: inHours(2) });
  assert.ok((early.deadline?.getTime() ?? 0) > Date.now());
  assert.equal(early.late, false);
  const order: string[] = [];
  for (let i = 0; i < 3; i++) {
    const lease = await agent.lease();
    order.push(lease.prompt);
    agent.complete(lease);
  }
  assert.deepEqual(order, ["early", "late", "none"]);
});

test("a deadline that is over is refused, but not to who repeats a submission", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  const deadline = new Date(Date.now() + 500);
  const keyed = { idempotencyKey: "k", deadline };
  const first = await coordinator.submit(["one"], keyed);
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.equal((await coordinator.submit(["one"], keyed)).id, first.id);
  await assert.rejects(coordinator.submit(["two"], { deadline }), {
    code: "INVALID_ARGUMENT",
    message: /the deadline, .*, is over at .*; give a later one/,
  });
  const { batch } = await coordinator.get(first.id);
  assert.equal(batch?.late, true, "it is rendered all the same, and known to be late");
});

test("a tenant gets no more devices and no more of the queue than the rules give it", async (t) => {
  const { coordinator, agent, client } = await farmWithRules(t, {
    tenantDefault: { clipsQueuedMax: 2 },
    tenants: { small: { devicesMax: 1, batchesMax: 1 } },
  });
  const mine = await coordinator.submit(["s0", "s1"], { tenant: "small" });
  await assert.rejects(coordinator.submit(["s2"], { tenant: "small" }), {
    code: "RESOURCE_EXHAUSTED",
    message: /small/,
  });
  await assert.rejects(coordinator.submit(["a", "b", "c"]), { code: "RESOURCE_EXHAUSTED" });
  const held = await agent.lease();
  assert.equal(held.batchId, mine.id);
  const other = await newAgent(t, coordinator, "w2");
  other.progress([], 0, ["cpu"]);
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal(other.leases.length, 0, "one device is all that it may have");
  await coordinator.submit(["c0"], { tenant: "large" });
  const large = await eventually(() => other.leases[0]);
  assert.equal(large.prompt, "c0");
  const { tenants, pool, backlogDeviceSeconds } = await client.farm();
  assert.equal(pool, "default");
  assert.ok(backlogDeviceSeconds > 0);
  const small = tenants.find(({ tenant }) => tenant === "small");
  assert.deepEqual([small?.weight, small?.clipsRunning, small?.clipsWaiting], [1, 1, 1]);
});

test("tenants share devices by their weights", async (t) => {
  const { coordinator } = await farmWithRules(t, { tenants: { heavy: { weight: 3 } } });
  const [cpu] = testHelloMessage("w2").devices;
  assert.ok(cpu);
  const devices = Array.from({ length: 8 }, (_, i) => ({ ...cpu, name: `cuda:${i}` }));
  const node = await newAgent(t, coordinator, "w2", { devices });
  const prompts = (name: string) => Array.from({ length: 12 }, () => name);
  await coordinator.submit(prompts("light"), { tenant: "light" });
  await coordinator.submit(prompts("heavy"), { tenant: "heavy" });
  node.progress(
    [],
    0,
    devices.map(({ name }) => name),
  );
  await eventually(() => (node.leases.length === 8 ? true : undefined));
  const heavy = node.leases.filter(({ prompt }) => prompt === "heavy");
  assert.equal(heavy.length, 6, "three times as much as the other one");
});

test("a name that is none makes no tenant", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  for (const tenant of ["a b", "ä", "-x", "x".repeat(65), "a/b", "__proto__"]) {
    await assert.rejects(coordinator.submit(["one"], { tenant }), {
      code: "INVALID_ARGUMENT",
      message: /is no name; up to 64 letters/,
    });
  }
  const batch = await coordinator.submit(["one"], submissionOf(["one"]));
  assert.equal(batch.tenant, "default");
});

test("a device that keeps failing is quarantined until its canary is right", async (t) => {
  const { coordinator, agent, client } = await farmWithRules(t, {
    quarantine: { failuresMax: 2, backoffMs: 100, backoffMsMax: 200 },
    retry: { backoffMs: 10, backoffMsMax: 20, failuresMax: 10 },
  });
  await coordinator.submit(["one"]);
  for (let i = 0; i < 2; i++) agent.fail((await agent.lease()).attempt, "DEVICE_LOST");
  const canary = await eventually(() => agent.canaries[0]);
  assert.deepEqual([canary.device, canary.model], ["cpu", "demo"]);
  const [worker] = await client.workers();
  assert.equal(worker?.devices[0]?.state, "quarantined");
  assert.match(await coordinator.metrics(), /tocafarm_devices\{state="quarantined"\} 1/);
  agent.progress([], 0, ["cpu"]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(agent.leases.length, 2, "a quarantined device gets no lease");
  agent.sing(canary, "");
  const second = await eventually(() => agent.canaries[1]);
  agent.sing(second, "c".repeat(64));
  assert.equal((await agent.lease()).attempt.attempt, 3, "it works again");
  const metrics = await coordinator.metrics();
  assert.match(metrics, /tocafarm_quarantines_total\{outcome="begun"\} 1/);
  assert.match(metrics, /tocafarm_quarantines_total\{outcome="canary"\} 1/);
});

test("an operator may release a quarantined device, and no other", async (t) => {
  const { coordinator, agent, client } = await farmWithRules(t, {
    quarantine: { failuresMax: 1, backoffMs: 60_000 },
    retry: { backoffMs: 10, backoffMsMax: 20 },
  });
  await coordinator.submit(["one"]);
  agent.fail((await agent.lease()).attempt, "ENGINE_CRASH");
  await eventually(async () =>
    (await client.workers())[0]?.devices[0]?.state === "quarantined" ? true : undefined,
  );
  const released = await client.release("w1", "cpu");
  assert.notEqual(released.devices[0]?.state, "quarantined");
  assert.equal((await agent.lease()).attempt.attempt, 2);
  await assert.rejects(client.release("w1", "cuda:7"), { code: "NOT_FOUND" });
  await assert.rejects(client.release("nobody", "cpu"), { code: "NOT_FOUND" });
});
