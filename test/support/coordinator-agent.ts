// An agent in the test's own process: it speaks WorkerLink over a real connection and does with its
// leases exactly what the test says, so that late, doubled and missing reports can be made.

import { createHash } from "node:crypto";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { FarmError } from "../../common/errors.js";
import { type ChannelSettings, createClient, toFarmError } from "../../common/rpc.js";
import type { Artifact } from "../../proto/gen/tocafarm/v1/render.js";
import {
  type AttemptRef,
  type CancelAttempt,
  type ConnectRequest,
  type ConnectResponse,
  type Hello,
  type Lease,
  WorkerLinkClient,
} from "../../proto/gen/tocafarm/v1/worker.js";
import { eventually } from "./coordinator-process.js";

type Message = NonNullable<ConnectRequest["message"]>;

export class TestAgent {
  readonly id: string;
  readonly leases: Lease[] = [];
  readonly cancels: CancelAttempt[] = [];
  welcomed = false;
  /** Whether its reports of progress say that it is about to stop. */
  draining = false;
  /** Why the connection ended. */
  end: FarmError | undefined;
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

  fail(attempt: AttemptRef, code: string): void {
    const failure = { code, message: `the test says ${code}` };
    this.say({ $case: "failed", value: { attempt, failure, childDead: true } });
  }

  /** Hangs up. */
  close(): void {
    this.#call.cancel();
    this.#client.close();
  }

  #hear(message: ConnectResponse["message"]): void {
    if (message?.$case === "welcome") this.welcomed = true;
    if (message?.$case === "lease") this.leases.push(message.value);
    if (message?.$case === "cancel") this.cancels.push(message.value);
  }
}

export function completion(attempt: AttemptRef | undefined, key: string) {
  const sha256 = createHash("sha256").update(key).digest("hex");
  const artifact: Artifact = { key, sha256, sizeBytes: 1n };
  return { attempt, artifacts: [artifact], totals: undefined };
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
      },
    ],
    held: [],
    completed: [],
    failed: [],
    checkpoints: [],
    draining: false,
  };
}
