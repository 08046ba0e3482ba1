// The connection to NATS: one server, or the servers of a cluster. User and password may stand in
// the URL, which never comes into a log or an error. A server that vanishes without a word (a
// cable, a firewall) is noticed by its missing answers to pings.

import { connect, ErrorCode, type NatsConnection, NatsError } from "nats";
import { monotonicClock, sleep } from "../../common/clock.js";
import { FarmError } from "../../common/errors.js";
import type { Log } from "../../common/log.js";

/** How long one server may take to answer a connection. */
const dialMsMax = 2_000;
const dialAgainMs = 250;

/** How long the servers may take to come up when a coordinator starts. */
const startMsMax = 5_000;

/** Two pings without an answer: the server is gone after 4 to 6 s. */
const pingMs = 2_000;
const pingsUnansweredMax = 2;

/**
 * Connects to one of `nats://[user:password@]host:port[,...]`, and again whenever that is lost.
 * Throws UNAVAILABLE when no server answers within 5 s or the password is refused,
 * INVALID_ARGUMENT for a bad URL.
 */
export async function connectNats(urls: string, log: Log): Promise<NatsConnection> {
  const { servers, user, password } = partsOf(urls);
  const options = {
    servers: [...servers],
    name: "tocafarm coordinator",
    timeout: dialMsMax,
    maxReconnectAttempts: -1, // the default gives up after ten
    reconnectTimeWait: dialAgainMs,
    reconnectJitter: dialAgainMs,
    pingInterval: pingMs,
    maxPingOut: pingsUnansweredMax,
    ...(user === "" ? {} : { user, pass: password }),
  };
  const startedMs = monotonicClock.now();
  for (;;) {
    try {
      const connection = await connect(options);
      const link = { isUp: true, listeners: new Set<() => void>() };
      links.set(connection, link);
      void watch(connection, link, log);
      return connection;
    } catch (error) {
      const refused = error instanceof NatsError && error.code === ErrorCode.AuthorizationViolation;
      if (refused || monotonicClock.now() - startedMs > startMsMax) {
        const reason = error instanceof Error ? error.message : String(error);
        const message = `no NATS server answers at ${servers.join(", ")}: ${reason}`;
        throw new FarmError("UNAVAILABLE", message, { cause: error });
      }
      await sleep(dialAgainMs);
    }
  }
}

interface Address {
  readonly servers: readonly string[];
  readonly user: string;
  readonly password: string;
}

function partsOf(urls: string): Address {
  const parsed = urls.split(",").map(parseUrl);
  const [first] = parsed.filter(({ username }) => username !== "");
  for (const { username, password } of parsed) {
    const same = username === first?.username && password === first.password;
    if (username !== "" && !same) throw badUrl("all its servers take one user and password");
  }
  return {
    servers: parsed.map(({ host }) => host),
    user: decodeURIComponent(first?.username ?? ""),
    password: decodeURIComponent(first?.password ?? ""),
  };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  if (url?.protocol !== "nats:" || url.hostname === "") {
    throw badUrl("write nats://HOST:PORT[,nats://HOST:PORT]...");
  }
  return url;
}

function badUrl(remedy: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", `--nats is no NATS address; ${remedy}`);
}

interface Link {
  isUp: boolean;
  readonly listeners: Set<() => void>;
}

const links = new WeakMap<NatsConnection, Link>();

/** Keeps what the library says of the connection, and logs it. */
async function watch(connection: NatsConnection, link: Link, log: Log): Promise<void> {
  for await (const { type, data } of connection.status()) {
    if (type === "reconnect") link.isUp = true;
    if (type === "disconnect") {
      link.isUp = false;
      for (const listener of [...link.listeners]) listener();
    }
    if (type === "disconnect" || type === "reconnect" || type === "error") {
      log.warn({ status: type, data: String(data) }, "the connection to NATS changed");
    }
  }
}

/** Calls the listener when the connection breaks, now if it is down; returns how to stop that. */
export function onDisconnect(connection: NatsConnection, listener: () => void): () => void {
  const link = links.get(connection);
  if (link?.isUp === false) listener();
  link?.listeners.add(listener);
  return () => link?.listeners.delete(listener);
}

/**
 * Resolves as `ask` does. The library drops what is sent while the connection is down, and an
 * answer does not come over another one: then this throws UNAVAILABLE at once, not at a deadline.
 */
export function whileConnected<T>(connection: NatsConnection, ask: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let isDown = false;
    const stop = onDisconnect(connection, () => {
      isDown = true;
      reject(new FarmError("UNAVAILABLE", "the connection to NATS is down"));
    });
    if (!isDown) ask().then(resolve, reject).finally(stop);
    else stop();
  });
}
