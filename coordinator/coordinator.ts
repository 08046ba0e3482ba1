// The wiring of a coordinator: the only place where log, leader, store, services and pages meet.

import path from "node:path";
import { openStore } from "../artifacts/open.js";
import { FarmError } from "../common/errors.js";
import { lockFolder } from "../common/folder-lock.js";
import { startHttp } from "../common/http.js";
import type { Serving, Teardown } from "../common/lifecycle.js";
import type { Log } from "../common/log.js";
import { removeCoordinatorFile, writeCoordinatorFile } from "../common/paths.js";
import { startRpcServer } from "../common/rpc.js";
import { RenderFarmService } from "../proto/gen/tocafarm/v1/farm.js";
import { WorkerLinkService } from "../proto/gen/tocafarm/v1/worker.js";
import type { CoordinatorConfig } from "./config.js";
import { defaultRules } from "./core/decide.js";
import { pages } from "./http/pages.js";
import { startJanitor } from "./janitor.js";
import { Leader } from "./leader.js";
import { meter } from "./metrics.js";
import { connectNats } from "./nats/connection.js";
import { openEventLog } from "./nats/event-log.js";
import { startNatsServer } from "./nats/server.js";
import type { Planner } from "./ports.js";
import { createPromptStore } from "./prompts.js";
import { renderFarmService } from "./rpc/render-farm.js";
import { addStandardServices } from "./rpc/standard-services.js";
import { workerLinkService } from "./rpc/worker-link.js";

/** Calls in flight get this long at the end. */
const rpcGraceMs = 500;

export interface CoordinatorOptions {
  readonly config: CoordinatorConfig;
  readonly log: Log;
  readonly teardown: Teardown;
  readonly plan: Planner;
}

/**
 * Starts every part, adding it to `teardown`. Throws FarmError; what has started is then in
 * `teardown`.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Serving> {
  const { config, log, teardown } = options;
  const lock = await lockFolder(config.dataFolder);
  teardown.add("folder lock", () => lock.release());
  const store = await openStore(config.artifacts);
  const { url, broken: natsBroken } = await natsOf(options);
  const connection = await connectNats(url, log);
  teardown.add("NATS connection", () => connection.close());
  const eventLog = await openEventLog(connection, config.pool);
  const rules = { ...defaultRules, leaseMs: config.leaseMs };
  const opening = Leader.open({ eventLog, rules, log });
  const leader = await Promise.race([opening, natsBroken]);
  teardown.add("leader", () => leader.stop());
  const janitor = startJanitor(leader, store, log);
  teardown.add("janitor", () => janitor.stop());

  const stopping = new AbortController();
  const prompts = createPromptStore(store);
  const shared = { farm: leader, prompts, stopping: stopping.signal };
  const uploadFolder = path.join(config.dataFolder, "uploads");
  let grpc = "";
  const identity = { pool: config.pool, leader: () => grpc };
  const rpc = await startRpcServer(config.listen, (server) => {
    const farmOptions = { ...shared, ...identity, store, plan: options.plan, uploadFolder };
    server.addService(RenderFarmService, renderFarmService(farmOptions));
    server.addService(
      WorkerLinkService,
      workerLinkService({ ...shared, leaseMs: config.leaseMs, log }),
    );
    const health = addStandardServices(server);
    stopping.signal.addEventListener("abort", () => health.stop());
  });
  grpc = rpc.address;
  teardown.add("gRPC", () => {
    stopping.abort(new FarmError("UNAVAILABLE", "the coordinator is stopping; try again later"));
    return rpc.stop(rpcGraceMs);
  });

  const routes = pages({ farm: leader, scrape: meter(leader), pool: config.pool });
  const http = await startHttp({ listen: config.http, routes, log });
  teardown.add("HTTP", () => http.stop());

  const addresses = { grpc: rpc.address, http: http.address };
  writeCoordinatorFile(config.dataFolder, { ...addresses, pid: process.pid });
  teardown.add("coordinator file", () => removeCoordinatorFile(config.dataFolder, process.pid));
  return { ...addresses, broken: Promise.race([leader.broken, natsBroken]) };
}

/** The NATS server that was named, or one of our own. */
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
