// What every tool expects of a server: health, reflection, pages, and an event log that several
// processes can fight over without harm.

import assert from "node:assert/strict";
import { once } from "node:events";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { makeGenericClientConstructor } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { protoPath } from "grpc-health-check";
import { silentLog } from "../../common/log.js";
import { packageRoot } from "../../common/paths.js";
import { callUnary, createClient } from "../../common/rpc.js";
import { connectNats } from "../../coordinator/nats/connection.js";
import { openEventLog } from "../../coordinator/nats/event-log.js";
import { startNatsServer } from "../../coordinator/nats/server.js";
import { CoordinatorProcess, eventually, temporaryFolder } from "../support/coordinator-process.js";

// Clients made from loaded definitions have no types of their own.
// biome-ignore lint/suspicious/noExplicitAny: a test's client
function clientOf(file: string, folder: string, service: string, address: string): any {
  const definition = loadSync(file, { includeDirs: [folder], enums: String })[service];
  // biome-ignore lint/suspicious/noExplicitAny: a service definition, by its name
  const Client = makeGenericClientConstructor(definition as any, service);
  // biome-ignore lint/suspicious/noExplicitAny: see above
  return createClient(Client as any, address);
}

/** As a tool would ask for them. */
async function servicesOf(t: TestContext, { grpc }: CoordinatorProcess, version: string) {
  const folder = path.join(packageRoot(), "node_modules/@grpc/reflection/build/proto");
  const file = `grpc/reflection/${version}/reflection.proto`;
  const reflection = clientOf(file, folder, `grpc.reflection.${version}.ServerReflection`, grpc);
  t.after(() => reflection.close());
  const call = reflection.ServerReflectionInfo();
  call.write({ listServices: "*" });
  call.end();
  const names: string[] = [];
  for await (const { listServicesResponse } of call) {
    names.push(...listServicesResponse.service.map(({ name }: { name: string }) => name));
  }
  return names;
}

test("health, reflection and pages answer", async (t) => {
  const coordinator = await CoordinatorProcess.start(t, temporaryFolder(t));
  const health = clientOf(protoPath, "/", "grpc.health.v1.Health", coordinator.grpc);
  t.after(() => health.close());
  const service = "tocafarm.v1.RenderFarm";
  const answer = await callUnary(health.Check.bind(health), { service });
  assert.deepEqual(answer, { status: "SERVING" });

  const watch = health.Watch({ service });
  const [watched] = (await once(watch, "data")) as [unknown];
  assert.deepEqual(watched, { status: "SERVING" });
  watch.on("error", () => {}); // it ends with the test
  watch.cancel();

  for (const version of ["v1", "v1alpha"]) {
    const known = await servicesOf(t, coordinator, version);
    assert.ok(known.includes(service) && known.includes("tocafarm.v1.WorkerLink"), version);
  }

  for (const [page, pattern] of [
    ["/", /\/metrics {2}metrics/],
    ["/healthz", /ok/],
    ["/readyz", /leader/],
    ["/metrics", /tocafarm_backlog_device_seconds 0/],
  ] as const) {
    const response = await fetch(`http://${coordinator.http}${page}`);
    assert.equal(response.status, 200, page);
    assert.match(await response.text(), pattern);
  }
  assert.equal((await fetch(`http://${coordinator.http}/nowhere`)).status, 404);
});

test("the log refuses a writer that was overtaken, and replays what it acknowledged", async (t) => {
  const server = await startNatsServer(temporaryFolder(t), silentLog);
  t.after(() => server.stop());
  const connection = await connectNats(server.url, silentLog);
  t.after(() => connection.close());
  const log = await openEventLog(connection, "test");
  const event = (term: number) => ({ type: "LeaderStarted", at: term, term }) as const;
  assert.equal(await log.replay(0, () => assert.fail("an empty log has no turn")), 0);
  assert.equal(await log.append([event(1), event(2)], 0), 1);
  assert.equal(await log.append([event(3)], 1), 2);
  const other = await openEventLog(connection, "test");
  const seen: number[] = [];
  const last = await other.replay(0, (events, sequence) => seen.push(sequence, events.length));
  assert.deepEqual([last, ...seen], [2, 1, 2, 2, 1]);
  assert.equal(await other.append([event(4)], 2), 3);
  await assert.rejects(log.append([event(5)], 2), {
    code: "UNAVAILABLE",
    message: /another coordinator has written/,
  });
});

test("a nats-server takes no folder of another one, and nobody without its password", async (t) => {
  const folder = temporaryFolder(t);
  const server = await startNatsServer(folder, silentLog);
  t.after(() => server.stop());
  await assert.rejects(startNatsServer(folder, silentLog), {
    code: "FAILED_PRECONDITION",
    message: /is in use by another nats-server/,
  });
  const stranger = server.url.replace(/\/\/.*@/, "//");
  await assert.rejects(connectNats(stranger, silentLog), { code: "UNAVAILABLE" });
});

test("a coordinator stops when its parent is gone", async (t) => {
  const coordinator = await CoordinatorProcess.start(t, temporaryFolder(t));
  coordinator.child.disconnect();
  await eventually(() => (coordinator.child.exitCode === 0 ? true : undefined), 5_000);
});
