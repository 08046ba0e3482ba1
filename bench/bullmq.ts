// The same work on a known queue: BullMQ on a Redis that syncs its file before it answers, with as
// many workers, each with connections of its own.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { queueName } from "./bullmq-queue.js";
import { measurePhases, type Phases } from "./load-phases.js";
import { LoadProcesses } from "./load-processes.js";

const jobs = 800_000;
const jobsAtOnce = 5_000;

export interface BullmqOptions {
  readonly workers: number;
  readonly seconds: number;
  readonly processes: number;
}

export async function measureBullmq(folder: string, options: BullmqOptions): Promise<Phases> {
  const port = await freePort();
  const redis = await startRedis(folder, port);
  const load = new LoadProcesses("load-bullmq.js", options.processes);
  const connection = { host: "127.0.0.1", port };
  const queue = new Queue(queueName, { connection });
  try {
    await load.open(`127.0.0.1:${port}`, options.workers);
    for (let first = 0; first < jobs; first += jobsAtOnce) {
      const some = Array.from({ length: jobsAtOnce }, (_, i) => {
        return { name: "clip", data: { prompt: `a star spins ${first + i}`, seed: first + i } };
      });
      await queue.addBulk(some);
    }
    const phases = await measurePhases(load, options);
    if ((await queue.getWaitingCount()) === 0) throw new Error(`${jobs} jobs were too few`);
    return phases;
  } finally {
    load.stop();
    await queue.close();
    const exited = once(redis, "exit");
    redis.kill("SIGKILL");
    await exited;
  }
}

async function startRedis(folder: string, port: number): Promise<ChildProcess> {
  mkdirSync(folder, { recursive: true });
  const durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
  const where = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder];
  const redis = spawn("redis-server", [...where, ...durable, "--maxclients", "10000"], {
    stdio: "ignore",
  });
  const client = new Redis({ host: "127.0.0.1", port, lazyConnect: true, retryStrategy: null });
  client.on("error", () => {}); // not there yet
  for (let tries = 0; client.status !== "ready"; tries++) {
    if (tries === 100) throw new Error("redis-server does not answer; is it installed?");
    await sleep(50);
    await client.connect().catch(() => {});
  }
  client.disconnect();
  return redis;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const bound = server.address();
  server.close();
  await once(server, "close");
  if (bound === null || typeof bound === "string") throw new Error("no port is free");
  return bound.port;
}
