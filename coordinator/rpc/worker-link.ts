// WorkerLink: an agent's stream begins with Hello, then its messages become commands one after the
// other, and what the core decides for it goes back: leases with their prompt, and orders to stop.
// A newer connection of the same agent replaces the older one.

import type { ServerDuplexStream } from "@grpc/grpc-js";
import { asFarmError, FarmError } from "../../common/errors.js";
import { artifactPrefix, clipId } from "../../common/ids.js";
import type { Log } from "../../common/log.js";
import { duplexStream } from "../../common/rpc.js";
import type {
  ConnectRequest,
  ConnectResponse,
  Hello,
  WorkerLinkServer,
} from "../../proto/gen/tocafarm/v1/worker.js";
import type { LeaseGranted } from "../core/events.js";
import type { FarmPort, PromptStore, Turn } from "../ports.js";
import { AgentConnection, type AgentMessage } from "./agent-connection.js";
import { fromCompleted, fromFailed, fromHello, fromMessage } from "./agent-messages.js";
import { seedOf, toRefMessage, toSpecMessage } from "./convert.js";

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
  const replaced = new FarmError("ALREADY_EXISTS", `another agent came as ${worker}`);
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

/** Reports that the agent made while it was cut off, or that may not have been heard. */
async function repeatReports(hello: Hello, farm: FarmPort): Promise<void> {
  for (const report of hello.completed) await farm.command(fromCompleted(hello.workerId, report));
  for (const report of hello.failed) await farm.command(fromFailed(hello.workerId, report));
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
    if (effect.type !== "stop_attempt") continue;
    const { worker, ref, reason } = effect;
    agents.get(worker)?.send({ $case: "cancel", value: { attempt: toRefMessage(ref), reason } });
  }
}

/** A lease whose prompt cannot be read fails here, as it would at the worker. */
async function leaseMessage(
  { batch: id, clip, attempt, worker, device }: LeaseGranted,
  { farm, prompts, log }: WorkerLinkOptions,
): Promise<AgentMessage | undefined> {
  const ref = { batch: id, clip, attempt };
  try {
    const batch = await farm.query(({ state }) => state.batches.get(id));
    if (!batch) return undefined; // ended meanwhile, and forgotten
    const texts = await prompts.load(batch.promptsKey);
    const clipName = clipId(id, clip);
    const value = {
      attempt: toRefMessage(ref),
      device,
      batchId: id,
      clipId: clipName,
      clipIndex: clip,
      prompt: texts[clip] ?? "",
      seed: seedOf(batch.spec, clip),
      spec: toSpecMessage(batch.spec),
      artifactPrefix: artifactPrefix(clipName, attempt),
      planDigest: batch.plan.digest,
    };
    return { $case: "lease", value };
  } catch (thrown) {
    const { code, message } = asFarmError(thrown);
    log.error({ batch: id, clip, code, reason: message }, "a lease could not be sent");
    const failure = { code, message };
    const command = { type: "failed", worker, ref, failure, childDead: true } as const;
    void farm.command(command).catch(() => {}); // a leader that has stopped replays the lease
    return undefined;
  }
}
