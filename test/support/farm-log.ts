// The event log of a farm that has stopped, read from its data folder as a new leader reads it.
import path from "node:path";
import type { TestContext } from "node:test";
import { createLog } from "../../common/log.js";
import type { FarmEvent } from "../../coordinator/core/events.js";
import { connectNats } from "../../coordinator/nats/connection.js";
import { openEventLog } from "../../coordinator/nats/event-log.js";
import { startNatsServer } from "../../coordinator/nats/server.js";

/** Every event of the default pool, in order. */
export async function loggedEvents(
  t: TestContext,
  dataFolder: string,
): Promise<readonly FarmEvent[]> {
  const log = createLog("test", "silent");
  const server = await startNatsServer(path.join(dataFolder, "nats"), log);
  t.after(() => server.stop());
  const connection = await connectNats(server.url, log);
  const events: FarmEvent[] = [];
  try {
    const eventLog = await openEventLog(connection, "default");
    await eventLog.replay(0, (turn) => {
      events.push(...turn);
    });
  } finally {
    await connection.close();
  }
  return events;
}
