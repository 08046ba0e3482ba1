// The connection to a NATS server. User and password may stand in the URL, which never comes into a
// log or an error.

import { connect, type NatsConnection } from "nats";
import { FarmError } from "../../common/errors.js";
import type { Log } from "../../common/log.js";

/** How long the first connection may take. */
const connectMsMax = 5_000;

/**
 * Connects to `nats://[user:password@]host:port`. Throws UNAVAILABLE when no server answers,
 * INVALID_ARGUMENT for a bad URL.
 */
export async function connectNats(url: string, log: Log): Promise<NatsConnection> {
  const { server, user, password } = partsOf(url);
  try {
    const connection = await connect({
      servers: server,
      name: "tocafarm coordinator",
      timeout: connectMsMax,
      maxReconnectAttempts: -1, // the default gives up after ten
      pingInterval: 10_000,
      maxPingOut: 2,
      ...(user === "" ? {} : { user, pass: password }),
    });
    void report(connection, log);
    return connection;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FarmError("UNAVAILABLE", `no NATS server answers at ${server}: ${reason}`, {
      cause: error,
    });
  }
}

function partsOf(url: string): {
  readonly server: string;
  readonly user: string;
  readonly password: string;
} {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== "nats:" || parsed.hostname === "") {
    throw new FarmError("INVALID_ARGUMENT", "--nats is no NATS address; write nats://HOST:PORT");
  }
  const user = decodeURIComponent(parsed.username);
  return { server: parsed.host, user, password: decodeURIComponent(parsed.password) };
}

async function report(connection: NatsConnection, log: Log): Promise<void> {
  for await (const { type, data } of connection.status()) {
    if (type === "disconnect" || type === "reconnect" || type === "error") {
      log.warn({ status: type, data: String(data) }, "the connection to NATS changed");
    }
  }
}
