// A nats-server of a test's own, as a coordinator starts it, and connections to it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";
import type { NatsConnection } from "nats";
import { silentLog } from "../../common/log.js";
import { connectNats } from "../../coordinator/nats/connection.js";
import { startNatsServer } from "../../coordinator/nats/server.js";

export interface TestNats {
  /** With user and password. */
  readonly url: string;
  /** Closed when the test ends. */
  readonly connect: () => Promise<NatsConnection>;
}

/** Starts a server, which ends with the test. */
export async function testNats(t: TestContext): Promise<TestNats> {
  const folder = mkdtempSync(path.join(tmpdir(), "tocafarm-nats-"));
  const server = await startNatsServer(folder, silentLog);
  const connections: NatsConnection[] = [];
  t.after(async () => {
    for (const connection of connections) await connection.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const connect = async () => {
    const connection = await connectNats(server.url, silentLog);
    connections.push(connection);
    return connection;
  };
  return { url: server.url, connect };
}
