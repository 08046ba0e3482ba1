// A small HTTP server for what operators read: /metrics, /healthz, /readyz and a front page. GET
// and HEAD only; nothing is ever written through it.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseAddress } from "./config.js";
import { asFarmError, FarmError } from "./errors.js";
import type { Log } from "./log.js";

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Path to answer; the path is matched whole, without its query. */
export type HttpRoutes = Readonly<Record<string, () => HttpAnswer | Promise<HttpAnswer>>>;

export interface HttpService {
  /** HOST:PORT as bound, with the port that the system chose. */
  readonly address: string;
  stop(): Promise<void>;
}

export interface HttpOptions {
  /** HOST:PORT; port 0 lets the system choose. */
  readonly listen: string;
  readonly routes: HttpRoutes;
  readonly log: Log;
}

/** A client that sends its request slower than this holds a socket for nothing. */
const requestMsMax = 10_000;

export function textAnswer(body: string, status = 200): HttpAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body };
}

/** Serves until stopped. Throws FAILED_PRECONDITION when the address cannot be bound. */
export async function startHttp(options: HttpOptions): Promise<HttpService> {
  const { host, port } = parseAddress(options.listen);
  const server = createServer({ requestTimeout: requestMsMax }, (request, response) => {
    void answer(options, request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(bindError(options.listen, error)));
    server.listen({ host, port }, resolve);
  });
  server.on("error", (error) => options.log.error({ err: error }, "the HTTP server failed"));
  return {
    address: formatAddress(host, (server.address() as AddressInfo).port), // a TCP server's address
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The one-line error for an address that cannot be bound. */
export function bindError(listen: string, error: unknown): FarmError {
  const text = error instanceof Error ? error.message : String(error);
  const why = text.includes("EADDRINUSE")
    ? "the port is in use; choose another one, or port 0"
    : text;
  return new FarmError("FAILED_PRECONDITION", `cannot listen on ${listen}: ${why}`, {
    cause: error,
  });
}

export function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

async function answer(
  { routes, log }: HttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const found = await find(routes, request).catch((thrown: unknown) => {
    const error = asFarmError(thrown);
    log.error({ err: error, url: request.url }, "a request failed");
    return textAnswer(`${error.code}: ${error.message}\n`, 500);
  });
  response.writeHead(found.status, {
    "content-type": found.contentType,
    "content-length": Buffer.byteLength(found.body),
    "cache-control": "no-store",
  });
  response.end(request.method === "HEAD" ? undefined : found.body);
}

async function find(routes: HttpRoutes, request: IncomingMessage): Promise<HttpAnswer> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return textAnswer("only GET and HEAD are answered here\n", 405);
  }
  const path = (request.url ?? "/").split("?")[0] ?? "/";
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  return route ? await route() : textAnswer("there is nothing here; / lists what is\n", 404);
}
