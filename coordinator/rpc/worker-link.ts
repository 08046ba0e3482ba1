// WorkerLink: an agent's stream begins with Hello, then its messages become commands one after the
// other, and what the core decides for it goes back: leases with their prompt, and orders to stop.
// A newer connection of the same agent replaces the older one.

import type { ServerDuplexStream } from "@grpc/grpc-js";
import { asFarmError, FarmError } from "../../common/errors.js";
import type { Log } from "../../common/log.js";
import { duplexStream } from "../../common/rpc.js";
import type {
  ConnectRequest,
  ConnectResponse,
  Hello,
  WorkerLinkServer,
} from "../../proto/gen/tocafarm/v1/worker.js";
import type { Effect } from "../core/commands.js";
import type { FarmPort, PromptStore, Turn } from "../ports.js";
import { AgentConnection, type AgentMessage } from "./agent-connection.js";
import {
  fromCheckpoint,
  fromCompleted,
  fromFailed,
  fromHello,
  fromMessage,
} from "./agent-messages.js";
import { toRefMessage } from "./convert.js";
import { leaseMessage } from "./lease-message.js";

/** Agents report at least this often, so that a lease outlives four reports that were lost. */
const progressSeconds = 2;

const helloMsMax = 10_000;

export interface WorkerLinkOptions {
  readonly farm: FarmPort;
  readonly prompts: PromptStore;
  readonly leaseMs: number;
  readonly log: Log;
  /** Aborts when the coordinator stops; its reason ends the streams. */
  readonly stopping: AbortSignal;
}

type Call = ServerDuplexStream<ConnectRequest, ConnectResponse>;

export function workerLinkService(options: WorkerLinkOptions): WorkerLinkServer {
  const agents = new Map<string, AgentConnection>();
  options.farm.onTurn((turn) => deliver(turn, agents, options));
  return {
    connect: duplexStream<ConnectRequest, ConnectResponse>((messages, call, { signal }) =>
      serveAgent({ messages, call, signal, agents, options }),
    ),
  };
}

interface Session {
  readonly messages: AsyncIterable<ConnectRequest>;
  readonly call: Call;
  readonly signal: AbortSignal;
  readonly agents: Map<string, AgentConnection>;
  readonly options: WorkerLinkOptions;
}

async function serveAgent({ messages, call, signal, agents, options }: Session): Promise<void> {
  const { farm, log, stopping } = options;
  const reader = messages[Symbol.asyncIterator]();
  const hello = await firstHello(reader, AbortSignal.any([signal, stopping]));
  const worker = hello.workerId;
  const command = { type: "hello", hello: fromHello(hello) } as const;
  const replaced = new FarmError(
    "ALREADY_EXISTS",
    `another agent came as ${worker}: give each worker an --id of its own`,
  );
  agents.get(worker)?.close(replaced);
  const accepted = farm.command(command);
  const welcome = accepted.then(() => welcomeMessage(options));
  const connection = new AgentConnection(worker, call, welcome);
  agents.set(worker, connection);
  log.info({ worker, devices: hello.devices.length }, "an agent has come");
  try {
    await accepted;
    await repeatReports(hello, farm);
    const end = AbortSignal.any([signal, stopping, connection.closed]);
    await readMessages(reader, worker, farm, end);
  } finally {
    connection.close(undefined);
    if (agents.get(worker) === connection) {
      agents.delete(worker);
      // A leader that has stopped forgets anyway.
      await farm.command({ type: "gone", worker }).catch(() => {});
    }
    log.info({ worker }, "an agent has gone");
  }
}

async function firstHello(reader: AsyncIterator<ConnectRequest>, end: AbortSignal): Promise<Hello> {
  const late = AbortSignal.timeout(helloMsMax);
  const first = await next(reader, AbortSignal.any([end, late]));
  if (first?.message?.$case === "hello") return first.message.value;
  throw new FarmError("INVALID_ARGUMENT", "an agent's first message is Hello");
}

/**
 * Reports that the agent made while it was cut off, or that may not have been heard. Checkpoints
 * go first: one of an attempt that was handed back is where the next one begins.
 */
async function repeatReports(hello: Hello, farm: FarmPort): Promise<void> {
  const { workerId, checkpoints, completed, failed } = hello;
  for (const report of checkpoints) await farm.command(fromCheckpoint(workerId, report));
  for (const report of completed) await farm.command(fromCompleted(workerId, report));
  for (const report of failed) await farm.command(fromFailed(workerId, report));
}

/**
 * Each command waits for the one before it, so an agent that talks too fast is held back by its own
 * stream.
 */
async function readMessages(
  reader: AsyncIterator<ConnectRequest>,
  worker: string,
  farm: FarmPort,
  end: AbortSignal,
): Promise<void> {
  for (;;) {
    const request = await next(reader, end);
    if (!request) return;
    const command = fromMessage(worker, request.message);
    if (command) await farm.command(command);
  }
}

/** The next message; undefined when the agent has hung up. Throws the signal's reason. */
function next<T>(reader: AsyncIterator<T>, end: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(asFarmError(end.reason, "DEADLINE_EXCEEDED"));
    if (end.aborted) {
      abort();
      return;
    }
    end.addEventListener("abort", abort, { once: true });
    reader
      .next()
      .then(({ value, done }) => resolve(done ? undefined : value), reject)
      .finally(() => end.removeEventListener("abort", abort));
  });
}

function welcomeMessage({ farm, leaseMs }: WorkerLinkOptions): AgentMessage {
  return {
    $case: "welcome",
    value: {
      progressPeriod: { seconds: BigInt(progressSeconds), nanos: 0 },
      leaseDuration: { seconds: BigInt(Math.floor(leaseMs / 1000)), nanos: (leaseMs % 1000) * 1e6 },
      term: BigInt(farm.term),
    },
  };
}

/** Sends to agents what a turn means for them. */
function deliver(
  turn: Turn,
  agents: ReadonlyMap<string, AgentConnection>,
  options: WorkerLinkOptions,
): void {
  for (const event of turn.events) {
    if (event.type !== "LeaseGranted") continue;
    agents.get(event.worker)?.send(leaseMessage(event, options));
  }
  for (const effect of turn.effects) {
    if (effect.type === "superseded") continue;
    agents.get(effect.worker)?.send(orderMessage(effect));
  }
}

type Order = Exclude<Effect, { readonly type: "superseded" }>;

function orderMessage(order: Order): AgentMessage {
  switch (order.type) {
    case "stop_attempt": {
      const { ref, reason } = order;
      return { $case: "cancel", value: { attempt: toRefMessage(ref), reason } };
    }
    case "cut_attempt": {
      const { ref, reason } = order;
      return { $case: "cut", value: { attempt: toRefMessage(ref), reason } };
    }
    case "try_device": {
      const { id, device, model } = order;
      return { $case: "canary", value: { id, device, model } };
    }
  }
}
