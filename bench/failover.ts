// How long a farm is without a leader: from kill -9 of the one that leads to the first lease that
// an agent gets from the one that follows it, and until every agent has linked again and a
// submission is accepted. Two coordinators, one nats-server, simulated agents on the worker's own
// link. Prints JSON.
//
//   node dist/bench/failover.js [tries] [agents]
import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { FarmClient } from "../cli/farm-client.js";
import { asChildMessage } from "../common/lifecycle.js";
import { silentLog } from "../common/log.js";
import { packageRoot } from "../common/paths.js";
import { startNatsServer } from "../coordinator/nats/server.js";
import type { AttemptRef, Lease, Model } from "../proto/gen/tocafarm/v1/worker.js";
import { Link } from "../worker/link.js";
import { benchDevice, benchHello, benchModels, benchRequest } from "./bench-farm.js";
import { quantiles } from "./quantiles.js";

const holdMs = 500;

interface Coordinator {
  readonly child: ChildProcess;
  readonly grpc: string;
}

async function startCoordinator(folder: string, args: readonly string[]): Promise<Coordinator> {
  const program = path.join(packageRoot(), "dist", "coordinator", "main.js");
  const flags = ["--data", folder, "--log-level", "silent", ...args];
  const child = fork(program, flags, { stdio: ["ignore", "ignore", "ignore", "ipc"] });
  const [raw]: unknown[] = await once(child, "message");
  const message = asChildMessage(raw);
  if (message?.type !== "ready") throw new Error(`a coordinator failed: ${JSON.stringify(raw)}`);
  return { child, grpc: message.grpc ?? "" };
}

/** An agent that asks, holds and reports, and knows its first lease on a new link. */
class Agent {
  readonly link: Link;
  readonly #held = new Map<string, AttemptRef>();
  /** Links since the last `watch`. */
  #links = 0;
  #onLeaseAgain: (() => void) | undefined;

  constructor(coordinators: readonly string[], id: string, models: readonly Model[]) {
    this.link = new Link({
      coordinators,
      log: silentLog,
      hello: () => {
        this.#links += 1;
        return { ...benchHello(id, models), held: [...this.#held.values()] };
      },
      progress: () => ({
        attempts: [...this.#held.values()].map((attempt) => {
          return { attempt, stage: "denoise", step: 1, steps: 6, totals: undefined };
        }),
        idleDevices: this.#held.size === 0 ? [benchDevice] : [],
        draining: false,
      }),
      onLease: (lease) => this.#hold(lease),
      onCancel: () => {},
      onCut: () => {},
      onCanary: () => {},
      random: Math.random,
    });
    this.link.start();
  }

  /** Resolves with the next lease that comes on a link of its own time. */
  leaseAgain(): Promise<number> {
    this.#links = 0;
    return new Promise((resolve) => {
      this.#onLeaseAgain = () => resolve(performance.now());
    });
  }

  #hold({ attempt, artifactPrefix }: Lease): void {
    if (attempt === undefined) return;
    if (this.#links > 0) this.#onLeaseAgain?.();
    this.#held.set(attempt.segmentId, attempt);
    this.link.progressNow();
    setTimeout(() => {
      this.#held.delete(attempt.segmentId);
      const key = `${artifactPrefix}video.mp4`;
      const artifacts = [{ key, sha256: "0".repeat(64), sizeBytes: 1n }];
      this.link.send({ $case: "completed", value: { attempt, artifacts, totals: undefined } });
      this.link.progressNow();
    }, holdMs);
  }
}

const [tries = 10, count = 50] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(path.join(tmpdir(), "tocafarm-bench-failover-"));
const nats = await startNatsServer(path.join(folder, "nats"), silentLog);
const store = ["--nats", nats.url, "--artifacts", path.join(folder, "artifacts")];
const folders = ["c1", "c2"].map((name) => path.join(folder, name));
const coordinators = await Promise.all(folders.map((data) => startCoordinator(data, store)));
const addresses = coordinators.map(({ grpc }) => grpc);
const models = await benchModels();
const agents = Array.from({ length: count }, (_, i) => new Agent(addresses, `agent-${i}`, models));
const client = new FarmClient(addresses);
try {
  const submit = () => client.submit(benchRequest(1_000, randomUUID()));
  while ((await client.workers()).filter(({ connected }) => connected).length < count);
  const [firstMs, allMs, submitMs]: number[][] = [[], [], []];
  for (let i = 0; i < tries; i++) {
    await submit();
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const at = addresses.indexOf((await client.farm()).leader);
    const again = agents.map((agent) => agent.leaseAgain());
    const killedMs = performance.now();
    coordinators[at]?.child.kill("SIGKILL");
    const submitted = submit().then(() => submitMs?.push(performance.now() - killedMs));
    firstMs?.push((await Promise.race(again)) - killedMs);
    allMs?.push(Math.max(...(await Promise.all(again))) - killedMs);
    await submitted;
    const listen = ["--listen", addresses[at] ?? ""];
    coordinators[at] = await startCoordinator(folders[at] ?? "", [...store, ...listen]);
  }
  const [firstLease, everyAgent, submission] = [firstMs, allMs, submitMs].map((values) =>
    quantiles(values ?? []),
  );
  console.log(
    JSON.stringify({ tries, agents: count, firstLease, everyAgent, submission }, null, 2),
  );
} finally {
  client.close();
  for (const { child } of coordinators) child.kill("SIGKILL");
  await Promise.all(agents.map(({ link }) => link.stop(0)));
  await nats.stop();
  rmSync(folder, { recursive: true });
}
