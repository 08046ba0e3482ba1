// The wiring of a coordinator: the only place where log, replica, store, services and pages meet.

import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import path from "node:path";
import { openStore } from "../artifacts/open.js";
import { lockFolder } from "../common/folder-lock.js";
import { startHttp } from "../common/http.js";
import type { Serving, Teardown } from "../common/lifecycle.js";
import type { Log } from "../common/log.js";
import { removeCoordinatorFile, writeCoordinatorFile } from "../common/paths.js";
import { type RpcServer, startRpcServer } from "../common/rpc.js";
import { type RenderFarmServer, RenderFarmService } from "../proto/gen/tocafarm/v1/farm.js";
import { type WorkerLinkServer, WorkerLinkService } from "../proto/gen/tocafarm/v1/worker.js";
import { leadershipAlone } from "./alone.js";
import type { CoordinatorConfig } from "./config.js";
import { pages } from "./http/pages.js";
import { startJanitor } from "./janitor.js";
import type { ReplicaLife } from "./life.js";
import { createMeter } from "./metrics.js";
import { connectNats } from "./nats/connection.js";
import { openEventLog } from "./nats/event-log.js";
import { openLeadership } from "./nats/leadership.js";
import { startNatsServer } from "./nats/server.js";
import { openSnapshots } from "./nats/snapshots.js";
import type { EventLog, Leadership, Life, Planner, ReplicaPort, SnapshotStore } from "./ports.js";
import { createPromptStore } from "./prompts.js";
import type { Duty } from "./reign.js";
import { Replica } from "./replica.js";
import { forwardingFarm } from "./rpc/forward.js";
import { redirectingLink } from "./rpc/redirect.js";
import { renderFarmService } from "./rpc/render-farm.js";
import { type StandardServices, standardServices } from "./rpc/standard-services.js";
import { workerLinkService } from "./rpc/worker-link.js";
import { snapshotOnThread } from "./snapshot-thread.js";
import { keepSnapshots } from "./snapshots.js";

/** Calls in flight get this long at the end. */
const rpcGraceMs = 500;

/**
 * A claim is renewed each second and may be taken by another one after 3 s of silence, so who stood
 * still for longer than this may have a follower.
 */
const stillMsMaxOfMany = 2_000;

/**
 * Who leads alone and stood still for this part of a lease cannot tell agents that were silent from
 * those that it did not hear, so it gives every lease its full time anew.
 */
const stillShareAlone = 0.5;

export interface CoordinatorOptions {
  readonly config: CoordinatorConfig;
  readonly log: Log;
  readonly teardown: Teardown;
  readonly planner: Planner;
}

/**
 * Starts every part, adding it to `teardown`. Throws FarmError; what has started is then in
 * `teardown`.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Serving> {
  const { config, log, teardown, planner } = options;
  const { pool, rules, dataFolder } = config;
  const lock = await lockFolder(dataFolder);
  teardown.add("folder lock", () => lock.release());

  // Ports first: where one is in use, nothing is written. Until the log is read, calls are told so.
  const replica = new Replica();
  const meter = createMeter(replica);
  const leader = () => replica.leader?.grpc ?? "";
  const uploadFolder = path.join(dataFolder, "uploads");
  const { rpc, standard } = await serveRpc(options, replica, {
    farmOf: (life) => {
      const parts = { store, prompts, planner, uploadFolder };
      return renderFarmService({ ...parts, farm: life, stopping: life.over, pool, leader });
    },
    linkOf: (life) => {
      const { leaseMs } = rules;
      return workerLinkService({ farm: life, stopping: life.over, prompts, leaseMs, log });
    },
  });
  const routes = pages({ replica, scrape: meter.scrape, pool });
  const http = await startHttp({ listen: config.http, routes, log });
  teardown.add("HTTP", () => http.stop());

  await rm(uploadFolder, { recursive: true, force: true }); // what a killed coordinator left
  const store = await openStore(config.artifacts);
  const prompts = createPromptStore(store);
  const { ports, broken, take } = await openPool(options);
  const { eventLog } = ports;
  const duties = (life: ReplicaLife): readonly Duty[] => [
    meter.count(life),
    startJanitor({ life, store, log }),
    keepSnapshots({ life, eventLog, take, limits: config.snapshotLimits, log }),
  ];
  const self = { id: randomUUID(), grpc: config.advertise ?? rpc.address };
  const started = replica.start({ ...ports, self, rules, log, duties, random: Math.random });
  teardown.add("replica", () => replica.stop());
  await Promise.race([started, broken]);
  standard.serving();

  const addresses = { grpc: rpc.address, http: http.address };
  writeCoordinatorFile(dataFolder, { ...addresses, pid: process.pid });
  teardown.add("coordinator file", () => removeCoordinatorFile(dataFolder, process.pid));
  return { ...addresses, broken: Promise.race([replica.broken, broken]) };
}

interface ServicesOfLife {
  readonly farmOf: (life: Life) => RenderFarmServer;
  readonly linkOf: (life: Life) => WorkerLinkServer;
}

async function serveRpc(
  { config, teardown }: CoordinatorOptions,
  replica: ReplicaPort,
  { farmOf, linkOf }: ServicesOfLife,
): Promise<{ readonly rpc: RpcServer; readonly standard: StandardServices }> {
  const farm = forwardingFarm(replica, farmOf);
  const standard = standardServices();
  const rpc = await startRpcServer(config.listen, (server) => {
    server.addService(RenderFarmService, farm.service);
    server.addService(WorkerLinkService, redirectingLink(replica, linkOf));
    standard.addTo(server);
  });
  teardown.add("gRPC", async () => {
    standard.stop();
    await rpc.stop(rpcGraceMs);
    farm.close();
  });
  return { rpc, standard };
}

interface PoolParts {
  readonly ports: {
    readonly eventLog: EventLog;
    readonly snapshots: SnapshotStore;
    readonly leadership: Leadership;
    readonly stillMsMax: number;
  };
  /** Makes and stores a snapshot. */
  readonly take: (signal: AbortSignal) => Promise<number>;
  /** Rejects when our own server ends by itself. */
  readonly broken: Promise<never>;
}

/** What coordinators of the pool share through NATS, or one has on a server of its own. */
async function openPool(options: CoordinatorOptions): Promise<PoolParts> {
  const { config, log, teardown } = options;
  const { pool, logLevel } = config;
  const { url, broken } = await natsOf(options);
  const connection = await connectNats(url, log);
  teardown.add("NATS connection", () => connection.close());
  const stored = { replicas: config.natsReplicas, log };
  const alone = config.natsUrl === undefined;
  const ports = {
    eventLog: await openEventLog(connection, pool, stored),
    snapshots: await openSnapshots(connection, pool, stored),
    leadership: alone ? leadershipAlone() : await openLeadership(connection, pool, stored),
    stillMsMax: alone ? stillShareAlone * config.rules.leaseMs : stillMsMaxOfMany,
  };
  const source = { natsUrl: url, pool, replicas: config.natsReplicas, logLevel };
  return { ports, take: (signal) => snapshotOnThread(source, signal), broken };
}

/** The NATS that was named, or a server of our own. */
async function natsOf({
  config,
  log,
  teardown,
}: CoordinatorOptions): Promise<{ readonly url: string; readonly broken: Promise<never> }> {
  if (config.natsUrl !== undefined) {
    return { url: config.natsUrl, broken: new Promise(() => {}) };
  }
  const server = await startNatsServer(path.join(config.dataFolder, "nats"), log);
  teardown.add("nats-server", () => server.stop());
  return server;
}
