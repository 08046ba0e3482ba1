// The coordinator's side of the worker link for tests: a real gRPC server that gives out the leases
// it is told to, and keeps everything that agents say.
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { artifactPrefix, clipId, newBatchId, segmentId } from "../../common/ids.js";
import { duplexStream, type RpcServer, startRpcServer } from "../../common/rpc.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import {
  type AttemptRef,
  type CanaryResult,
  type Checkpoint,
  type Completed,
  type ConnectRequest,
  type ConnectResponse,
  type Failed,
  type Hello,
  type Lease,
  type Progress,
  WorkerLinkService,
} from "../../proto/gen/tocafarm/v1/worker.js";
import { demoSpec } from "./demo-spec.js";

type Stream = ServerDuplexStream<ConnectRequest, ConnectResponse>;
type Said = NonNullable<ConnectRequest["message"]>;

const waitMsMax = 15_000;
const progressPeriodMs = 400;

export class WorkerLinkServer {
  readonly said: Said[] = [];
  /** Where agents are sent on to, as by a standby; undefined = it leads. */
  leader: string | undefined;
  #rpc: RpcServer | undefined;
  #stream: Stream | undefined;
  #watchers = new Set<() => void>();

  /** Serves at HOST:PORT, or a port of the system's choice. */
  async start(listen = "127.0.0.1:0"): Promise<void> {
    this.#rpc = await startRpcServer(listen, (server) => {
      server.addService(WorkerLinkService, {
        connect: duplexStream<ConnectRequest, ConnectResponse>((messages, stream) =>
          this.#serve(messages, stream),
        ),
      });
    });
  }

  get address(): string {
    if (this.#rpc === undefined) throw new Error("the server is not started");
    return this.#rpc.address;
  }

  async stop(): Promise<void> {
    await this.#rpc?.stop(0);
    this.#rpc = undefined;
    this.#stream = undefined;
  }

  lease(lease: Lease): void {
    this.#send({ message: { $case: "lease", value: lease } });
  }

  cancel(attempt: AttemptRef, reason = "cancelled"): void {
    this.#send({ message: { $case: "cancel", value: { attempt, reason } } });
  }

  cut(attempt: AttemptRef, reason = "preempted"): void {
    this.#send({ message: { $case: "cut", value: { attempt, reason } } });
  }

  canary(id: string, model = "demo"): void {
    this.#send({ message: { $case: "canary", value: { id, device: "cpu", model } } });
  }

  async canaryResult(id: string): Promise<CanaryResult> {
    return this.#heard((said) => {
      return said.$case === "canaryResult" && said.value.id === id ? said.value : undefined;
    }, 0);
  }

  /** How the attempt has ended. */
  async ended(ref: AttemptRef): Promise<Completed | Failed> {
    return this.#heard((said) => {
      if (said.$case !== "completed" && said.$case !== "failed") return undefined;
      return sameAttempt(said.value.attempt, ref) ? said.value : undefined;
    }, 0);
  }

  /** Every checkpoint of the attempt that was told so far. */
  checkpoints(ref: AttemptRef): readonly Checkpoint[] {
    return this.said.flatMap((said) => {
      const value = said.$case === "checkpoint" ? said.value : undefined;
      return value !== undefined && sameAttempt(value.attempt, ref) ? [value] : [];
    });
  }

  async hello(after = 0): Promise<Hello> {
    return this.#heard((said) => (said.$case === "hello" ? said.value : undefined), after);
  }

  async completed(ref: AttemptRef, after = 0): Promise<Completed> {
    return this.#heard((said) => {
      const value = said.$case === "completed" ? said.value : undefined;
      return sameAttempt(value?.attempt, ref) ? value : undefined;
    }, after);
  }

  async failed(ref: AttemptRef, after = 0): Promise<Failed> {
    return this.#heard((said) => {
      const value = said.$case === "failed" ? said.value : undefined;
      return sameAttempt(value?.attempt, ref) ? value : undefined;
    }, after);
  }

  async progress(wanted: (progress: Progress) => boolean, after = 0): Promise<Progress> {
    return this.#heard((said) => {
      return said.$case === "progress" && wanted(said.value) ? said.value : undefined;
    }, after);
  }

  /** Waits for a device that asks for work. */
  async idle(after = 0, device = "cpu"): Promise<void> {
    await this.progress(({ idleDevices }) => idleDevices.includes(device), after);
  }

  /** Waits until the engine has done `step` steps of the attempt. */
  async reached(ref: AttemptRef, step: number): Promise<void> {
    await this.progress(({ attempts }) => {
      return attempts.some((told) => sameAttempt(told.attempt, ref) && told.step >= step);
    });
  }

  async #serve(messages: AsyncIterable<ConnectRequest>, stream: Stream): Promise<void> {
    this.#stream = stream;
    for await (const { message } of messages) {
      if (message === undefined) continue;
      if (message.$case === "hello") this.#answer();
      this.said.push(message);
      for (const look of this.#watchers) look();
    }
  }

  #answer(): void {
    if (this.leader !== undefined) {
      this.#send({ message: { $case: "redirect", value: { leader: this.leader } } });
      return;
    }
    const nanos = progressPeriodMs * 1e6;
    const value = {
      progressPeriod: { seconds: 0n, nanos },
      leaseDuration: { seconds: 2n, nanos: 0 },
      term: 1n,
    };
    this.#send({ message: { $case: "welcome", value } });
  }

  #send(message: ConnectResponse): void {
    if (this.#stream === undefined) throw new Error("no agent is connected");
    this.#stream.write(message);
  }

  /** The first thing said from position `after` on that `pick` takes, now or within 15 s. */
  #heard<T>(pick: (said: Said) => T | undefined, after: number): Promise<T> {
    return new Promise((resolve, reject) => {
      let next = after;
      const done = (): void => {
        this.#watchers.delete(look);
        clearTimeout(overdue);
      };
      const look = (): void => {
        for (; next < this.said.length; next += 1) {
          const said = this.said[next];
          const picked = said && pick(said);
          if (picked === undefined) continue;
          done();
          resolve(picked);
          return;
        }
      };
      const overdue = setTimeout(() => {
        done();
        const kinds = this.said.slice(-12).map((said) => said.$case);
        reject(new Error(`the agent did not say it; it last said ${kinds.join(", ")}`));
      }, waitMsMax);
      this.#watchers.add(look);
      look();
    });
  }
}

function sameAttempt(a: AttemptRef | undefined, b: AttemptRef): boolean {
  return a?.segmentId === b.segmentId && a.attempt === b.attempt;
}

const smallSpec: RenderSpec = {
  ...demoSpec,
  steps: 10,
  policy: { name: "toca", options: { interval: "3" } },
};

export type TestLease = Lease & { readonly attempt: AttemptRef };

export interface TestLeaseOptions {
  readonly prompt?: string;
  /** A further attempt of the clip of this lease. */
  readonly again?: Lease;
  readonly attempt?: number;
}

/** A lease on a small clip on the device "cpu". */
export function testLease(
  { prompt = "a red circle moves right", again, attempt = 1 }: TestLeaseOptions = {},
  spec: Partial<RenderSpec> = {},
): TestLease {
  const batchId = again?.batchId ?? newBatchId(Date.now());
  const clip = clipId(batchId, 0);
  return {
    attempt: { segmentId: segmentId(batchId, 0), attempt },
    device: "cpu",
    batchId,
    clipId: clip,
    clipIndex: 0,
    prompt,
    seed: 7n,
    spec: { ...smallSpec, ...spec },
    artifactPrefix: artifactPrefix(clip, attempt),
    planDigest: "",
    segment: 0,
    preview: false,
    resume: undefined,
  };
}
