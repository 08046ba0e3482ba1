// The program of the snapshot's thread: a connection of its own, one snapshot, one message.

import { parentPort, workerData } from "node:worker_threads";
import { asFarmError } from "../common/errors.js";
import { createLog } from "../common/log.js";
import { connectNats } from "./nats/connection.js";
import { openEventLog } from "./nats/event-log.js";
import { openSnapshots } from "./nats/snapshots.js";
import type { SnapshotMessage, SnapshotSource } from "./snapshot-thread.js";
import { takeSnapshot } from "./snapshots.js";

async function run(source: SnapshotSource): Promise<SnapshotMessage> {
  const { natsUrl, pool, replicas, logLevel } = source;
  const log = createLog("coordinator", logLevel);
  try {
    const connection = await connectNats(natsUrl, log);
    try {
      const eventLog = await openEventLog(connection, pool, { replicas, log });
      const snapshots = await openSnapshots(connection, pool, { replicas, log });
      return { type: "taken", sequence: await takeSnapshot({ eventLog, snapshots, log }) };
    } finally {
      await connection.close();
    }
  } catch (thrown) {
    const { code, message } = asFarmError(thrown);
    return { type: "failed", code, message };
  }
}

parentPort?.postMessage(await run(workerData as SnapshotSource)); // from snapshotOnThread
