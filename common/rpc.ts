// gRPC as all processes use it: one set of channel options, deadlines on every call, back-pressure
// on every stream, and one mapping between FarmError and status. The exact code travels in the
// trailing metadata, since several codes share a status.

import type { Readable } from "node:stream";
import {
  type CallOptions,
  type ChannelOptions,
  type ClientUnaryCall,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  logVerbosity,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceError,
  setLogVerbosity,
  type status,
} from "@grpc/grpc-js";
import { asFarmError, type ErrorCode, errorCodes, FarmError, isErrorCode } from "./errors.js";
import { bindError } from "./http.js";

setLogVerbosity(logVerbosity.NONE); // whatever fails comes back as an error, which its caller tells

/** A submission is the largest message: 16 MiB of prompts, and room for its frame. */
export const messageBytesMax = 17 * 1024 * 1024;

/** Longest wait for the answer of a unary call, unless the caller says otherwise. */
export const unaryMsMax = 30_000;

const codeKey = "tocafarm-code";

/**
 * Both sides ping an idle connection, so that a peer that vanished without a word is noticed within
 * 30 s.
 */
const keepalive: ChannelOptions = {
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
};

const channelOptions: ChannelOptions = {
  ...keepalive,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  "grpc.enable_retries": 0, // callers decide what may be tried again
  "grpc.use_local_subchannel_pool": 1,
};

type ClientConstructor<C> = new (
  address: string,
  channelCredentials: ReturnType<typeof credentials.createInsecure>,
  options: ChannelOptions,
) => C;

export interface ChannelSettings {
  /**
   * A peer that does not answer a ping for this long is gone: one whose process stands still, too,
   * since its kernel does not answer pings. Without it, 30 s.
   */
  readonly silenceMsMax?: number;
}

/** A client of a generated service at HOST:PORT. It connects by itself; `close()` it when done. */
export function createClient<C>(
  Constructor: ClientConstructor<C>,
  address: string,
  { silenceMsMax }: ChannelSettings = {},
): C {
  const pings: ChannelOptions =
    silenceMsMax === undefined
      ? {}
      : {
          "grpc.keepalive_time_ms": Math.floor(silenceMsMax / 2),
          "grpc.keepalive_timeout_ms": Math.ceil(silenceMsMax / 2),
        };
  return new Constructor(address, credentials.createInsecure(), { ...channelOptions, ...pings });
}

export interface CallSettings {
  /** Milliseconds until the call fails with DEADLINE_EXCEEDED. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

type UnaryMethod<Req, Res> = (
  request: Req,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Res) => void,
) => ClientUnaryCall;

/**
 * A unary call as a promise: `callUnary(client.getBatch.bind(client), request)`. Throws FarmError.
 */
export function callUnary<Req, Res>(
  method: UnaryMethod<Req, Res>,
  request: Req,
  { deadlineMs = unaryMsMax, signal }: CallSettings = {},
): Promise<Res> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + deadlineMs };
    const call = method(request, new Metadata(), options, (error, response) => {
      signal?.removeEventListener("abort", cancel);
      if (error) reject(toFarmError(error));
      else resolve(response);
    });
    const cancel = () => call.cancel();
    if (signal?.aborted) cancel();
    else signal?.addEventListener("abort", cancel, { once: true });
  });
}

/** The messages of a server stream; throws FarmError. Leaving the loop early cancels the call. */
export async function* readStream<Res>(
  call: AsyncIterable<Res> & { cancel(): void },
  signal?: AbortSignal,
): AsyncGenerator<Res, void, undefined> {
  const cancel = () => call.cancel();
  if (signal?.aborted) cancel();
  else signal?.addEventListener("abort", cancel, { once: true });
  try {
    for await (const message of call) yield message;
  } catch (error) {
    throw toFarmError(error);
  } finally {
    signal?.removeEventListener("abort", cancel);
    call.cancel();
  }
}

/** A gRPC error as a FarmError: by the exact code if the peer sent it, else by its status. */
export function toFarmError(error: unknown): FarmError {
  if (!isServiceError(error)) return asFarmError(error);
  const exact = error.metadata?.get(codeKey)[0];
  const message = error.details || error.message;
  return new FarmError(isErrorCode(exact) ? exact : codeOfStatus(error.code), message, {
    cause: error,
  });
}

/** Anything thrown, as the status that answers a call. */
export function toStatus(thrown: unknown): {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
} {
  const error = asFarmError(thrown);
  const metadata = new Metadata();
  metadata.set(codeKey, error.code);
  return { code: errorCodes[error.code].grpc, details: error.message, metadata };
}

export interface RpcServer {
  readonly server: Server;
  /** HOST:PORT as bound. */
  readonly address: string;
  /** Refuses new calls, lets running ones end for `graceMs`, then cuts them. */
  stop(graceMs: number): Promise<void>;
}

/**
 * Binds and serves. `addServices` adds the services first. Throws FAILED_PRECONDITION when the
 * address cannot be bound.
 */
export async function startRpcServer(
  listen: string,
  addServices: (server: Server) => void,
): Promise<RpcServer> {
  const server = new Server(keepalive);
  addServices(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(bindError(listen, error));
      else resolve(bound);
    });
  });
  return {
    server,
    address: listen.replace(/:\d+$/, `:${port}`),
    stop: (graceMs) => stopServer(server, graceMs),
  };
}

export interface CallContext {
  /** Aborts when the caller is gone or its deadline has passed. */
  readonly signal: AbortSignal;
}

/** A unary method from an async function. */
export function unary<Req, Res>(
  handle: (request: Req, context: CallContext) => Promise<Res>,
): handleUnaryCall<Req, Res> {
  return (call, callback) => {
    const signal = cancelled(call);
    handle(call.request, { signal }).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toStatus(error)),
    );
  };
}

/**
 * Sends one message; resolves once the stream wants more. Rejects with CANCELLED when the caller is
 * gone.
 */
export type Send<Res> = (message: Res) => Promise<void>;

/** A server stream from an async function: it ends when the function does. */
export function serverStream<Req, Res>(
  handle: (request: Req, send: Send<Res>, context: CallContext) => Promise<void>,
): handleServerStreamingCall<Req, Res> {
  return (call) => {
    const signal = cancelled(call);
    const send: Send<Res> = (message) => writeOrWait(call, message, signal);
    handle(call.request, send, { signal }).then(
      () => call.end(),
      (error: unknown) => call.emit("error", asStreamError(error)),
    );
  };
}

/** A client stream from an async function over its messages. */
export function clientStream<Req, Res>(
  handle: (messages: AsyncIterable<Req>, context: CallContext) => Promise<Res>,
): handleClientStreamingCall<Req, Res> {
  return (call, callback) => {
    const signal = cancelled(call);
    handle(messagesOf<Req>(call), { signal }).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toStatus(error)),
    );
  };
}

/**
 * A stream both ways. The function reads `messages` and sends whenever it likes; the call ends when
 * it does.
 */
export function duplexStream<Req, Res>(
  handle: (
    messages: AsyncIterable<Req>,
    call: ServerDuplexStream<Req, Res>,
    context: CallContext,
  ) => Promise<void>,
): handleBidiStreamingCall<Req, Res> {
  return (call) => {
    const signal = cancelled(call);
    call.on("error", () => {}); // the reading loop meets it too, and decides
    handle(messagesOf<Req>(call), call, { signal }).then(
      () => call.end(),
      (error: unknown) => call.emit("error", asStreamError(error)),
    );
  };
}

/** Reads a call to its end without destroying it: the other direction is still in use. */
function messagesOf<Req>(call: Readable): AsyncIterable<Req> {
  return call.iterator({ destroyOnReturn: false });
}

interface Cancellable {
  readonly cancelled: boolean;
  on(event: "cancelled", listener: () => void): unknown;
}

function cancelled(call: Cancellable): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort(new FarmError("CANCELLED", "the caller is gone"));
  if (call.cancelled) abort();
  else call.on("cancelled", abort);
  return controller.signal;
}

interface Writer<Res> {
  write(message: Res): boolean;
  once(event: "drain", listener: () => void): unknown;
  off(event: "drain", listener: () => void): unknown;
}

function writeOrWait<Res>(call: Writer<Res>, message: Res, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason);
  if (call.write(message)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const onDrain = () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    };
    const onAbort = () => {
      call.off("drain", onDrain);
      reject(signal.reason);
    };
    call.once("drain", onDrain);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** grpc-js reads code, details and metadata from the error that ends a stream. */
function asStreamError(thrown: unknown): Error {
  const answer = toStatus(thrown);
  return Object.assign(new Error(answer.details), answer);
}

function stopServer(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.forceShutdown(), graceMs);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}

function isServiceError(error: unknown): error is ServiceError {
  return (
    error instanceof Error &&
    "details" in error &&
    "code" in error &&
    typeof error.code === "number"
  );
}

function codeOfStatus(code: number): ErrorCode {
  for (const name of preferredCodes) {
    if (errorCodes[name].grpc === code) return name;
  }
  return code === unauthenticated || code === permissionDenied ? "FAILED_PRECONDITION" : "INTERNAL";
}

const permissionDenied = 7;
const unauthenticated = 16;

/** Where several codes share a status, the most general one is taken. */
const preferredCodes: readonly ErrorCode[] = [
  "INTERNAL",
  "UNAVAILABLE",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "INVALID_ARGUMENT",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "UNSUPPORTED",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
];
