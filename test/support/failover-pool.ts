// Several real coordinators of one pool, over NATS and an artifact folder that they share.

import type { TestContext } from "node:test";
import { silentLog } from "../../common/log.js";
import { callUnary, readStream } from "../../common/rpc.js";
import type { FarmEvent } from "../../coordinator/core/events.js";
import { connectNats } from "../../coordinator/nats/connection.js";
import { openEventLog } from "../../coordinator/nats/event-log.js";
import { startNatsServer } from "../../coordinator/nats/server.js";
import type { EventLog } from "../../coordinator/ports.js";
import type { Batch, WatchBatchResponse } from "../../proto/gen/tocafarm/v1/farm.js";
import { CoordinatorProcess, eventually, temporaryFolder } from "./coordinator-process.js";
import { Crew, type CrewOptions } from "./failover-crew.js";

export interface PoolOptions {
  readonly coordinators: number;
  /** Of a NATS that runs; without it, a server is started. */
  readonly natsUrl?: string;
  readonly flags?: readonly string[];
}

export class FailoverPool {
  readonly coordinators: CoordinatorProcess[] = [];
  readonly #t: TestContext;
  readonly #natsUrl: string;
  readonly #flags: readonly string[];

  private constructor(t: TestContext, natsUrl: string, flags: readonly string[]) {
    this.#t = t;
    this.#natsUrl = natsUrl;
    const shared = ["--nats", natsUrl, "--artifacts", temporaryFolder(t)];
    this.#flags = [...shared, "--log-level", "silent", ...flags];
  }

  static async start(t: TestContext, options: PoolOptions): Promise<FailoverPool> {
    const { coordinators, flags = [] } = options;
    const natsUrl = options.natsUrl ?? (await ownServer(t));
    const pool = new FailoverPool(t, natsUrl, flags);
    for (let i = 0; i < coordinators; i++) await pool.add();
    return pool;
  }

  /** Starts one more. */
  async add(): Promise<CoordinatorProcess> {
    const data = temporaryFolder(this.#t);
    const coordinator = await CoordinatorProcess.start(this.#t, data, this.#flags);
    this.coordinators.push(coordinator);
    return coordinator;
  }

  crew(options: Omit<CrewOptions, "addresses">): Crew {
    const addresses = this.coordinators.map(({ grpc }) => grpc);
    const crew = new Crew({ ...options, addresses });
    this.#t.after(() => crew.stop());
    return crew;
  }

  /** Waits until one of them leads; those that answer nothing are passed over. */
  async leader(
    among: readonly CoordinatorProcess[] = this.coordinators,
    msMax = 10_000,
  ): Promise<CoordinatorProcess> {
    return eventually(async () => {
      for (const coordinator of among) {
        if ((await roleOf(coordinator)) === "leader") return coordinator;
      }
      return undefined;
    }, msMax);
  }

  /** Every event of the log. Throws IO once it was cut. */
  events(): Promise<readonly FarmEvent[]> {
    return this.#withLog(async (eventLog) => {
      const events: FarmEvent[] = [];
      await eventLog.replay(0, (turn) => events.push(...turn));
      return events;
    });
  }

  /** How many messages the log holds now. */
  turns(): Promise<number> {
    return this.#withLog(async (eventLog) => (await eventLog.extent()).turns);
  }

  async #withLog<T>(use: (eventLog: EventLog) => Promise<T>): Promise<T> {
    const connection = await connectNats(this.#natsUrl, silentLog);
    try {
      return await use(await openEventLog(connection, "default"));
    } finally {
      await connection.close();
    }
  }
}

/** "leader", "standby", or what else it says; "" = nothing within a second. */
export async function roleOf({ http }: CoordinatorProcess): Promise<string> {
  try {
    const signal = AbortSignal.timeout(1_000);
    const answer = await fetch(`http://${http}/readyz`, { signal });
    return (await answer.text()).trim();
  } catch {
    return "";
  }
}

async function ownServer(t: TestContext): Promise<string> {
  const server = await startNatsServer(temporaryFolder(t), silentLog);
  t.after(() => server.stop());
  return server.url;
}

/** Everything that a watcher hears, to the batch's end; resolves to its last state. */
export async function watchToEnd({ farm }: CoordinatorProcess, batchId: string): Promise<Batch> {
  let last: Batch | undefined;
  const call = farm.watchBatch({ batchId, afterSequence: 0n });
  for await (const { batch } of readStream<WatchBatchResponse>(call)) last = batch;
  if (last?.endedAt === undefined) throw new Error("the watch ended before the batch");
  return last;
}

/** Connected workers, as this coordinator says. */
export async function workersOf({ farm }: CoordinatorProcess): Promise<readonly string[]> {
  const { workers } = await callUnary(farm.listWorkers.bind(farm), {});
  return workers.filter(({ connected }) => connected).map(({ id }) => id);
}

/** Attempts that were rendered to their end and lost, as the leader counts. */
export async function supersededBy(leader: CoordinatorProcess): Promise<number> {
  const text = await leader.metrics();
  const pattern = /^tocafarm_attempts_total\{outcome="superseded",reason="completed"\} (\d+)$/m;
  return Number(pattern.exec(text)?.[1]);
}

export function secondsOf(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
