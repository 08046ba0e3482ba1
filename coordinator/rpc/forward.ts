// RenderFarm of a replica: any coordinator of a pool may be asked. Reads are answered where they
// arrive, from the log as far as it is known there (so without the progress of running attempts,
// which the leader alone hears), but nobody is told that there is no such batch before the leader
// was asked. Everything else goes on to the leader as the same gRPC call, and what it changed can
// be read here once it is answered. docs/decisions/0014-forwarding.md says why.

import {
  Client,
  Metadata,
  type MethodDefinition,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { monotonicClock, sleep } from "../../common/clock.js";
import { FarmError } from "../../common/errors.js";
import { createClient, toFarmError, toStatus, unaryMsMax } from "../../common/rpc.js";
import {
  type RenderFarmServer,
  RenderFarmService,
  type WatchBatchRequest,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { Life, ReplicaPort } from "../ports.js";
import { perLife } from "./per-life.js";

/**
 * A standby takes over within this time; a call that arrives meanwhile waits for it. So long, too,
 * waits an answer for the log to arrive here, and a watcher that knows more than this replica.
 */
const leaderMsMax = 5_000;
const leaderPollMs = 50;

/** A leader that does not take the connection by then is asked again, if it is still the leader. */
const connectMsMax = 500;

/** One that does not answer pings for this long is followed by another. */
const silenceMsMax = 3_000;

/** On calls from one coordinator to another: they are not forwarded again. */
const forwardedKey = "tocafarm-forwarded";

/** On answers to those: the place in the log that holds what was done. */
const sequenceKey = "tocafarm-sequence";

/** On refusals of those: nothing was done, since this one does not lead. */
const notLeaderKey = "tocafarm-not-leader";

/** Answered from the log or the store alone. */
const readsHere: ReadonlySet<string> = new Set([
  "getBatch",
  "listBatches",
  "watchBatch",
  "uploadBlob",
  "downloadArtifact",
  "getArtifactLink",
]);

type Method = MethodDefinition<object, object>;
type UnaryCall = ServerUnaryCall<object, object>;
type ReadCall = UnaryCall | ServerWritableStream<object, object>;
type Answer = sendUnaryData<object>;
type Handler = (call: unknown, answer?: unknown) => void;

export interface ForwardingFarm {
  readonly service: RenderFarmServer;
  /** Hangs up on the leader. */
  close(): void;
}

/** `serviceOf` makes the service of one life; it is asked once for each. */
export function forwardingFarm(
  replica: ReplicaPort,
  serviceOf: (life: Life) => RenderFarmServer,
): ForwardingFarm {
  const service = perLife(serviceOf);
  const leaders = new LeaderClient();
  const handlers = Object.entries(RenderFarmService).map(([name, definition]) => {
    const local = (life: Life): Handler =>
      service(life)[name as keyof RenderFarmServer] as unknown as Handler;
    const context = { replica, local, leaders, method: definition as unknown as Method };
    return [name, readsHere.has(name) ? readHandler(context) : commandHandler(context)];
  });
  return {
    service: Object.fromEntries(handlers) as RenderFarmServer, // a handler for each method
    close: () => leaders.close(),
  };
}

interface MethodContext {
  readonly replica: ReplicaPort;
  /** The method as a life answers it. */
  readonly local: (life: Life) => Handler;
  readonly leaders: LeaderClient;
  readonly method: Method;
}

function readHandler(context: MethodContext): UntypedHandleCall {
  const { replica, local } = context;
  return ((call: ReadCall, answer?: Answer) => {
    const { life } = replica;
    const { batchId } = (call.request ?? {}) as Partial<WatchBatchRequest>;
    if (life === null) refuse(call, answer, notReady());
    else if (life.leads || batchId === undefined) local(life)(call, answer);
    else {
      catchUp(context, life, call).then(
        () => local(life)(call, answer),
        (error: unknown) => refuse(call, answer, error),
      );
    }
  }) as UntypedHandleCall;
}

/** The caller may have heard elsewhere of what has not arrived here yet: waits for that. */
async function catchUp(context: MethodContext, life: Life, call: ReadCall): Promise<void> {
  const { batchId = "", afterSequence = 0n } = call.request as Partial<WatchBatchRequest>;
  await arrival(life, Number(afterSequence));
  if (await life.query(({ state }) => state.batches.has(batchId))) return;
  const method = RenderFarmService.getFarm as unknown as Method; // the least that it answers
  const said = await askLeader(context, { method, request: {}, call });
  if (said === "here") return;
  if (said.error) throw new FarmError("UNAVAILABLE", "the leader was lost; try again");
  await arrival(life, said.sequence);
}

/** Throws UNAVAILABLE when that takes too long. */
async function arrival(life: Life, sequence: number): Promise<void> {
  await life.reached(sequence, AbortSignal.timeout(leaderMsMax)).catch(() => {
    throw behind(sequence, life);
  });
}

function commandHandler(context: MethodContext): UntypedHandleCall {
  return ((call: UnaryCall, answer: Answer) => {
    if (call.metadata.get(forwardedKey).length > 0) serveForwarded(context, call, answer);
    else {
      serve(context, call, answer).catch((error: unknown) => answer(toStatus(error)));
    }
  }) as UntypedHandleCall;
}

/** Another coordinator asks: the leader does it, anybody else says that it is none. */
function serveForwarded({ replica, local }: MethodContext, call: UnaryCall, answer: Answer): void {
  const { life } = replica;
  if (!life?.leads) {
    const status = toStatus(new FarmError("UNAVAILABLE", "this coordinator does not lead"));
    status.metadata.set(notLeaderKey, "1");
    answer(status);
    return;
  }
  const withSequence: Answer = (error, value, trailer = new Metadata(), flags) => {
    trailer.set(sequenceKey, String(life.sequence));
    answer(error, value, trailer, flags);
  };
  local(life)(call, withSequence);
}

/** Here if this one leads, else by the leader. */
async function serve(context: MethodContext, call: UnaryCall, answer: Answer): Promise<void> {
  const { replica, local, method } = context;
  const said = await askLeader(context, { method, request: call.request, call });
  if (said === "here") {
    if (replica.life === null) throw notReady();
    local(replica.life)(call, answer);
    return;
  }
  await readable(replica, said);
  answer(said.error, said.value);
}

interface Question {
  readonly method: Method;
  readonly request: object;
  /** Whose question it is. */
  readonly call: ReadCall;
}

/** What the leader says, "here" if this one leads; waits for one while nobody leads. */
async function askLeader(
  { replica, leaders }: MethodContext,
  question: Question,
): Promise<Said | "here"> {
  let known = "no leader is known";
  const deadlineMs = monotonicClock.now() + leaderMsMax;
  while (monotonicClock.now() < deadlineMs) {
    if (question.call.cancelled) throw new FarmError("CANCELLED", "the caller is gone");
    const { life, leader } = replica;
    if (life?.leads) return "here";
    if (leader !== null) {
      known = `the leader is ${leader.grpc}, which does not answer`;
      const client = await leaders.reach(leader.grpc);
      const said = client === null ? null : await ask(client, question);
      if (said !== null) return said;
    }
    await sleep(leaderPollMs);
  }
  throw new FarmError("UNAVAILABLE", `this coordinator does not lead and ${known}; try again`);
}

interface Said {
  readonly error: ReturnType<typeof toStatus> | null;
  readonly value: object | null;
  /** The place in the log that holds what was done; 0 = nothing was. */
  readonly sequence: number;
}

/** What the leader answers; null when the one that was asked is none and did nothing. */
function ask(client: Client, { method, request, call }: Question): Promise<Said | null> {
  const metadata = new Metadata();
  metadata.set(forwardedKey, "1");
  const deadline = Math.min(Number(call.getDeadline()), Date.now() + unaryMsMax);
  return new Promise((resolve) => {
    let failed: ServiceError | null = null;
    let value: object | null = null;
    const asked = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      { deadline },
      (error, response) => {
        failed = error;
        value = response ?? null;
      },
    );
    call.on("cancelled", () => asked.cancel());
    asked.on("status", (status) => {
      if (status.metadata.get(notLeaderKey).length > 0) resolve(null);
      const sequence = Number(status.metadata.get(sequenceKey)[0] ?? 0);
      resolve({ error: failed === null ? null : explained(failed), value, sequence });
    });
  });
}

/** Of an error without a code of ours, so of the way to the leader, says what to do about it. */
function explained(failed: ServiceError): ReturnType<typeof toStatus> {
  const error = toFarmError(failed);
  if (error.code !== "UNAVAILABLE" || failed.metadata?.get("tocafarm-code").length) {
    return toStatus(error);
  }
  const message =
    `the leader was lost before it answered (${error.message}): it may have done it or not; ` +
    "look, or repeat a submission with the same idempotency key";
  return toStatus(new FarmError("UNAVAILABLE", message, { cause: error }));
}

/** Waits until reads here see what was done, so that nobody misses what he has just made. */
async function readable({ life }: ReplicaPort, { sequence }: Said): Promise<void> {
  await life?.reached(sequence, AbortSignal.timeout(leaderMsMax)).catch(() => {}); // done it is
}

/** A connection to the present leader. */
class LeaderClient {
  #address = "";
  #client: Client | null = null;

  /** The connection, once it stands; null when nobody answers. */
  async reach(address: string): Promise<Client | null> {
    if (this.#address !== address) this.close();
    this.#address = address;
    this.#client ??= createClient(Client, address, { silenceMsMax });
    const client = this.#client;
    return new Promise((resolve) => {
      client.waitForReady(Date.now() + connectMsMax, (error) => resolve(error ? null : client));
    });
  }

  close(): void {
    this.#client?.close();
    this.#client = null;
  }
}

function refuse(call: ReadCall, answer: Answer | undefined, error: unknown): void {
  const status = toStatus(error);
  if (answer) answer(status);
  else call.emit("error", Object.assign(new Error(status.details), status));
}

function notReady(): FarmError {
  return new FarmError("UNAVAILABLE", "this coordinator is reading the log; try again");
}

function behind(sequence: number, life: Life): FarmError {
  const message = `what was asked for is at ${sequence} of the log, this one at ${life.sequence}`;
  return new FarmError("UNAVAILABLE", `${message}; try again`);
}
