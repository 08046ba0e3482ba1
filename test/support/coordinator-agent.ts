// An agent in the test's own process: it speaks WorkerLink over a real connection and does with its
// leases exactly what the test says, so that late, doubled and missing reports can be made.

import { createHash } from "node:crypto";
import type { TestContext } from "node:test";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { FarmClient } from "../../cli/farm-client.js";
import type { FarmError } from "../../common/errors.js";
import { checkpointKey } from "../../common/ids.js";
import { type ChannelSettings, createClient, toFarmError } from "../../common/rpc.js";
import { type Artifact, RenderTotals } from "../../proto/gen/tocafarm/v1/render.js";
import {
  type AttemptRef,
  type Canary,
  type CancelAttempt,
  type Checkpoint,
  type ConnectRequest,
  type ConnectResponse,
  type CutAttempt,
  type Hello,
  type Lease,
  WorkerLinkClient,
} from "../../proto/gen/tocafarm/v1/worker.js";
import { CoordinatorProcess, eventually, temporaryFolder } from "./coordinator-process.js";

/** A coordinator process of its own folder, an agent that it knows, and a client. */
export async function farmWithAgent(t: TestContext, flags: readonly string[] = []) {
  const data = temporaryFolder(t);
  const coordinator = await CoordinatorProcess.start(t, data, flags);
  const agent = await newAgent(t, coordinator, "w1");
  const client = new FarmClient(coordinator.grpc);
  t.after(() => client.close());
  return { data, coordinator, agent, client };
}

/** An agent that was welcomed, and hangs up after the test. */
export async function newAgent(
  t: TestContext,
  { grpc }: CoordinatorProcess,
  id: string,
  hello: Partial<Hello> = {},
): Promise<TestAgent> {
  const agent = new TestAgent(grpc, id, hello);
  t.after(() => agent.close());
  await eventually(() => agent.welcomed || undefined);
  return agent;
}

/** Well within the shortest lease of a test. */
const holdMs = 500;

type Message = NonNullable<ConnectRequest["message"]>;

export class TestAgent {
  readonly id: string;
  readonly leases: Lease[] = [];
  readonly cancels: CancelAttempt[] = [];
  readonly cuts: CutAttempt[] = [];
  readonly canaries: Canary[] = [];
  welcomed = false;
  /** The leader's address, from a coordinator that does not lead. */
  redirect: string | undefined;
  /** Whether its reports of progress say that it is about to stop. */
  draining = false;
  /** Why the connection ended. */
  end: FarmError | undefined;
  #holding: NodeJS.Timeout | undefined;
  readonly #client: WorkerLinkClient;
  readonly #call: ClientDuplexStream<ConnectRequest, ConnectResponse>;

  constructor(
    address: string,
    id: string,
    hello: Partial<Hello> = {},
    settings: ChannelSettings = {},
  ) {
    this.id = id;
    this.#client = createClient(WorkerLinkClient, address, settings);
    this.#call = this.#client.connect();
    this.#call.on("data", (response: ConnectResponse) => this.#hear(response.message));
    this.#call.on("error", (error) => {
      this.end = toFarmError(error);
    });
    this.say({ $case: "hello", value: { ...testHelloMessage(id), ...hello } });
  }

  say(message: Message): void {
    this.#call.write({ message });
  }

  /** Names what it holds, with steps done, and which devices want work. */
  progress(held: readonly AttemptRef[], step: number, idleDevices: readonly string[] = []): void {
    const attempts = held.map((attempt) => ({
      attempt,
      stage: "denoise",
      step,
      steps: 10,
      totals: undefined,
    }));
    const value = { attempts, idleDevices: [...idleDevices], draining: this.draining };
    this.say({ $case: "progress", value });
  }

  /** Goes on reporting so until it hangs up: nobody else gets what it holds. */
  hold(attempts: readonly AttemptRef[], step: number): void {
    clearInterval(this.#holding);
    this.progress(attempts, step);
    this.#holding = setInterval(() => this.progress(attempts, step), holdMs);
  }

  /** Asks for work and resolves to the lease that comes. */
  async lease(msMax?: number): Promise<Lease & { readonly attempt: AttemptRef }> {
    const known = this.leases.length;
    this.progress([], 0, ["cpu"]);
    const lease = await eventually(() => this.leases[known], msMax);
    if (!lease.attempt) throw new Error("a lease names its attempt");
    return { ...lease, attempt: lease.attempt };
  }

  complete({ attempt, artifactPrefix }: Lease): void {
    const key = `${artifactPrefix}clip.mp4`;
    this.say({ $case: "completed", value: completion(attempt, key) });
  }

  /** Says that the attempt has done `step` steps and could go on from there. */
  checkpoint(lease: Lease, step: number): void {
    this.say({ $case: "checkpoint", value: checkpointOf(lease, step) });
  }

  /** Answers a canary with a digest, or with a failure for "". */
  sing({ id, device }: Canary, sha256: string): void {
    const failure =
      sha256 === "" ? { code: "DEVICE_LOST", message: "the test says so" } : undefined;
    this.say({ $case: "canaryResult", value: { id, device, sha256, failure } });
  }

  fail(attempt: AttemptRef, code: string): void {
    const failure = { code, message: `the test says ${code}` };
    this.say({ $case: "failed", value: { attempt, failure, childDead: true } });
  }

  /** Hangs up. */
  close(): void {
    clearInterval(this.#holding);
    this.#call.cancel();
    this.#client.close();
  }

  #hear(message: ConnectResponse["message"]): void {
    if (message?.$case === "welcome") this.welcomed = true;
    if (message?.$case === "redirect") this.redirect = message.value.leader;
    if (message?.$case === "lease") this.leases.push(message.value);
    if (message?.$case === "cancel") this.cancels.push(message.value);
    if (message?.$case === "cut") this.cuts.push(message.value);
    if (message?.$case === "canary") this.canaries.push(message.value);
  }
}

/** A report of completion with one file, of this content. */
export function completion(attempt: AttemptRef | undefined, key: string, content = key) {
  const sha256 = createHash("sha256").update(content).digest("hex");
  const artifact: Artifact = { key, sha256, sizeBytes: BigInt(content.length) };
  return { attempt, artifacts: [artifact], totals: undefined };
}

/** What the test's attempts did per step. */
const flopsPerStep = 1e6;

export function checkpointOf({ attempt, clipId }: Lease, step: number): Checkpoint {
  const key = checkpointKey(clipId, attempt?.attempt ?? 0, step);
  const sha256 = createHash("sha256").update(key).digest("hex");
  const totals = RenderTotals.fromPartial({ flops: flopsPerStep * step });
  return { attempt, step, artifact: { key, sha256, sizeBytes: 4_096n }, totals };
}

export function testHelloMessage(workerId: string): Hello {
  return {
    workerId,
    version: "0",
    devices: [
      {
        name: "cpu",
        kind: "cpu-test",
        memoryBytes: 8_000_000_000n,
        dtype: "fp32",
        state: "DEVICE_STATE_READY",
        loadedModel: "",
      },
    ],
    models: [
      {
        name: "demo",
        weightsDigest: "w",
        transformerConfig: "{}",
        vaeConfig: "{}",
        textEncoderConfig: "{}",
        modelIndex: "",
      },
    ],
    held: [],
    completed: [],
    failed: [],
    checkpoints: [],
    draining: false,
  };
}
