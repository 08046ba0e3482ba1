// A cluster of real nats-servers on loopback, of three or of one, whose servers can be killed, held
// up and started again on the port and the folder that they had.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";
import type { NatsConnection } from "nats";
import { sleep } from "../../common/clock.js";
import { FarmError } from "../../common/errors.js";
import { silentLog } from "../../common/log.js";
import { connectNats } from "../../coordinator/nats/connection.js";
import { findNatsServer } from "../../coordinator/nats/server.js";

const user = "test";
const password = "secret";

/** The election of a cluster takes some seconds. */
const readyMsMax = 60_000;
const readyPollMs = 100;

/** One server of the cluster. */
export class ClusterServer {
  readonly name: string;
  readonly url: string;
  /** Answers 200 once the server has all that the others have. */
  readonly health: string;
  readonly #config: string;
  #child: ChildProcess | undefined;

  constructor({ name, address, http }: ServerWish, config: string) {
    this.name = name;
    this.url = `nats://${user}:${password}@${address}`;
    this.health = `http://${http}/healthz`;
    this.#config = config;
  }

  /** Starts it, and does not wait until it serves. */
  start(): void {
    const program = [findNatsServer(process.env), "--config", this.#config];
    this.#child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...program], { stdio: "ignore" });
  }

  /** Ends it by a signal, SIGKILL by default, and resolves when it is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  /** Its connections stay open and nothing comes from them any more, as from a black hole. */
  async holdUp(): Promise<void> {
    this.#child?.kill("SIGSTOP");
    const stat = `/proc/${this.#child?.pid}/stat`;
    while (!/^\d+ \(.*\) T /.test(readFileSync(stat, "utf8"))) await sleep(5);
  }

  goOn(): void {
    this.#child?.kill("SIGCONT");
  }
}

export interface TestCluster {
  readonly servers: readonly ClusterServer[];
  /** All of them, as --nats takes them. */
  readonly urls: string;
  /** Connects to any of them; closed when the test ends. */
  readonly connect: () => Promise<NatsConnection>;
  /** Resolves once all servers are there, have a leader, and each has all that the others have. */
  readonly ready: () => Promise<void>;
}

/** Starts the servers and waits until they are ready; they end with the test. */
export async function testCluster(t: TestContext, size: 1 | 3 = 3): Promise<TestCluster> {
  const folder = mkdtempSync(path.join(tmpdir(), "tocafarm-cluster-"));
  const addresses = (await freePorts(3 * size)).map((port) => `127.0.0.1:${port}`);
  const routes = addresses.slice(0, size);
  const servers = routes.map((route, index) => {
    const name = `n${index + 1}`;
    const [address = "", http = ""] = addresses.slice(size + 2 * index);
    const config = path.join(folder, `${name}.conf`);
    const wish = { name, address, http, route, routes, store: path.join(folder, name) };
    writeFileSync(config, configText(wish));
    return new ClusterServer(wish, config);
  });
  const connections: NatsConnection[] = [];
  t.after(async () => {
    for (const connection of connections) await connection.close();
    for (const server of servers) await server.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const server of servers) server.start();
  const urls = servers.map(({ url }) => url).join(",");
  const connect = async () => {
    const connection = await connectNats(urls, silentLog);
    connections.push(connection);
    return connection;
  };
  const ready = async () => {
    for (const server of servers) await serves(server);
    for (const server of servers) await hasAll(server);
  };
  await ready();
  return { servers, urls, connect, ready };
}

interface ServerWish {
  readonly name: string;
  readonly address: string;
  readonly http: string;
  readonly route: string;
  readonly routes: readonly string[];
  readonly store: string;
}

function configText({ name, address, http, route, routes, store }: ServerWish): string {
  const cluster = [
    "cluster {",
    "  name: tocafarm",
    `  listen: ${JSON.stringify(route)}`,
    `  routes: ${JSON.stringify(routes.map((each) => `nats://${each}`))}`,
    "}",
  ];
  return [
    `server_name: ${name}`,
    `listen: ${JSON.stringify(address)}`,
    `http: ${JSON.stringify(http)}`,
    `jetstream { store_dir: ${JSON.stringify(store)}, sync_interval: always }`,
    `authorization { user: ${user}, password: ${password} }`,
    ...(routes.length > 1 ? cluster : []),
    "",
  ].join("\n");
}

/** Does it again for as long as it ends with UNAVAILABLE, as a coordinator begins anew. */
export async function patiently<T>(work: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + readyMsMax;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const again = error instanceof FarmError && error.code === "UNAVAILABLE";
      if (!again || performance.now() > endMs) throw error;
      await sleep(readyPollMs);
    }
  }
}

/** JetStream answers with what only the cluster's leader knows. */
async function serves(server: ClusterServer): Promise<void> {
  const endMs = performance.now() + readyMsMax;
  for (;;) {
    try {
      const connection = await connectNats(server.url, silentLog);
      try {
        const manager = await connection.jetstreamManager();
        await manager.streams.names().next();
        return;
      } finally {
        await connection.close();
      }
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await sleep(readyPollMs);
    }
  }
}

/** A server that has just come back is behind; taken for the others' copy too early, it is none. */
async function hasAll({ name, health }: ClusterServer): Promise<void> {
  const endMs = performance.now() + readyMsMax;
  for (;;) {
    const response = await fetch(health);
    const text = await response.text();
    if (response.ok) return;
    if (performance.now() > endMs) throw new Error(`${name} is behind: ${text}`);
    await sleep(readyPollMs);
  }
}

async function freePorts(count: number): Promise<readonly number[]> {
  const holders = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  const ports: number[] = [];
  for (const holder of holders) {
    if (!holder.listening) await once(holder, "listening");
    const address = holder.address();
    if (address !== null && typeof address === "object") ports.push(address.port);
  }
  for (const holder of holders) {
    holder.close();
    await once(holder, "close");
  }
  return ports;
}
