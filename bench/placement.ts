// Leases a second, and the time from a free device to its lease, with a thousand simulated workers
// over real gRPC and durable JetStream: as many as go, half of that, and 500/s. Beside it, in the
// same run on the same disk: one bare publish with fsync, alone and beside 500 leases a second, and
// BullMQ on Redis with appendfsync always. Prints JSON.
//
//   node dist/bench/placement.js [workers] [seconds of each measurement] [processes that make load]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FarmProcess } from "../cli/child-process.js";
import { FarmClient } from "../cli/farm-client.js";
import { silentLog } from "../common/log.js";
import { connectNats } from "../coordinator/nats/connection.js";
import { startNatsServer } from "../coordinator/nats/server.js";
import { benchRequest } from "./bench-farm.js";
import { measureBullmq } from "./bullmq.js";
import { measurePhases, type Phases } from "./load-phases.js";
import { LoadProcesses } from "./load-processes.js";
import { quantiles } from "./quantiles.js";

const batches = 6;
const clipsOfBatch = 100_000;
const publishesMeasured = 2_000;
/** So that what is measured is not what it adds to the load. */
const publishPauseMs = 20;

/** As large as a lease and a published clip in the log. */
const publishedBytes = 600;

async function submit(client: FarmClient): Promise<void> {
  for (let index = 0; index < batches; index++) {
    await client.submit(benchRequest(clipsOfBatch, `bench-${index}`));
  }
}

/** A queue that ran empty would have measured something else. */
async function checkWorkIsLeft(client: FarmClient): Promise<void> {
  const sent = await client.list(batches);
  if (sent.every(({ clipsPublished, clipsTotal }) => clipsPublished === clipsTotal)) {
    throw new Error(`${batches * clipsOfBatch} clips were too few`);
  }
}

type NatsConnection = Awaited<ReturnType<typeof connectNats>>;

/** One publish after the other, until so many are measured or the signal aborts. */
async function publishes(connection: NatsConnection, pauseMs: number, signal?: AbortSignal) {
  const client = connection.jetstream();
  const data = new Uint8Array(publishedBytes);
  const valuesMs: number[] = [];
  while (valuesMs.length < publishesMeasured && !signal?.aborted) {
    const startMs = performance.now();
    await client.publish("bare", data);
    valuesMs.push(performance.now() - startMs);
    if (pauseMs > 0) await sleep(pauseMs);
  }
  return quantiles(valuesMs);
}

interface FarmFigures extends Phases {
  readonly barePublish: object;
  readonly barePublishBesideIt: object;
}

async function measureFarm(
  folder: string,
  { workers, seconds, processes }: { workers: number; seconds: number; processes: number },
): Promise<FarmFigures> {
  const nats = await startNatsServer(path.join(folder, "nats"), silentLog);
  const args = ["--data", path.join(folder, "data"), "--nats", nats.url, "--log-level", "silent"];
  const main = "coordinator/main.js";
  const coordinator = new FarmProcess({ name: "the coordinator", main, args, showLog: false });
  const load = new LoadProcesses("load-agents.js", processes);
  const connection = await connectNats(nats.url, silentLog);
  try {
    const { grpc = "" } = await coordinator.ready(AbortSignal.timeout(30_000));
    await (await connection.jetstreamManager()).streams.add({ name: "BARE", subjects: ["bare"] });
    const barePublish = await publishes(connection, 0);
    await load.open(grpc, workers);
    const client = new FarmClient(grpc);
    await submit(client);
    let barePublishBesideIt: object = {};
    const during = async () => {
      const signal = AbortSignal.timeout(seconds * 1_000);
      barePublishBesideIt = await publishes(connection, publishPauseMs, signal);
    };
    const phases = await measurePhases(load, { workers, seconds, during });
    await checkWorkIsLeft(client);
    client.close();
    return { ...phases, barePublish, barePublishBesideIt };
  } finally {
    load.stop();
    await connection.close();
    await coordinator.stop();
    await nats.stop();
  }
}

const [workers = 1_000, seconds = 15, processes = 4] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(path.join(tmpdir(), "tocafarm-bench-placement-"));
try {
  const options = { workers, seconds, processes };
  const farm = await measureFarm(folder, options);
  const bullmq = await measureBullmq(path.join(folder, "redis"), options);
  const ratio = farm.saturated.jobsPerSecond / bullmq.saturated.jobsPerSecond;
  console.log(JSON.stringify({ ...options, farm, bullmq, ratio }, null, 2));
} finally {
  rmSync(folder, { recursive: true });
}
