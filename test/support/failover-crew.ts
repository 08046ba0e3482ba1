// Many agents in the test's own process, over real connections to several coordinators: each has
// devices that "render" for a while, goes on while it is cut off, dials whichever coordinator
// leads, and says again what may not have been heard. What was rendered to its end is remembered,
// so that the log can be held to it.

import type { ClientDuplexStream } from "@grpc/grpc-js";
import { createClient } from "../../common/rpc.js";
import {
  type AttemptRef,
  type ConnectRequest,
  type ConnectResponse,
  type Lease,
  WorkerLinkClient,
} from "../../proto/gen/tocafarm/v1/worker.js";
import { completion, testHelloMessage } from "./coordinator-agent.js";

const progressMs = 200;
const redialMs = 100;

/** A coordinator that does not answer pings for this long is left. */
const silenceMsMax = 5_000;

export interface CrewOptions {
  readonly addresses: readonly string[];
  readonly agents: number;
  readonly devicesPerAgent: number;
  /** How long one clip takes. */
  readonly renderMs: (lease: Lease) => number;
}

/** The first lease that agents heard of from a leader. */
export interface FirstLease {
  readonly term: bigint;
  readonly atMs: number;
}

interface Held {
  readonly lease: Lease;
  readonly device: string;
  readonly doneAtMs: number;
}

/** What all agents have seen together. */
export class Crew {
  readonly agents: readonly CrewAgent[];
  /** `<clip>/<attempt>` of everything that was rendered to its end. */
  readonly rendered = new Set<string>();
  readonly firstLeases: FirstLease[] = [];

  constructor(options: CrewOptions) {
    this.agents = Array.from(
      { length: options.agents },
      (_, index) => new CrewAgent(this, `w${index}`, options),
    );
  }

  /** Clips in work. */
  get held(): number {
    return this.agents.reduce((sum, agent) => sum + agent.held.size, 0);
  }

  leased(term: bigint): void {
    if (this.firstLeases.some((first) => first.term === term)) return;
    this.firstLeases.push({ term, atMs: performance.now() });
  }

  stop(): void {
    for (const agent of this.agents) agent.stop();
  }
}

export class CrewAgent {
  readonly id: string;
  readonly held = new Map<string, Held>();
  /** Rendered while nobody listened, or not long before. */
  #unheard: Held[] = [];
  readonly #crew: Crew;
  readonly #options: CrewOptions;
  readonly #timer: NodeJS.Timeout;
  #call: ClientDuplexStream<ConnectRequest, ConnectResponse> | undefined;
  #client: WorkerLinkClient | undefined;
  #term = 0n;
  #welcomed = false;
  #turn = 0;
  #awayUntilMs = 0;
  #stopped = false;

  constructor(crew: Crew, id: string, options: CrewOptions) {
    this.id = id;
    this.#crew = crew;
    this.#options = options;
    this.#timer = setInterval(() => this.#work(), progressMs);
    this.#dial(options.addresses[0] ?? "");
  }

  /** Hangs up and renders on alone. */
  stayAway(ms: number): void {
    this.#awayUntilMs = performance.now() + ms;
    this.#call?.cancel();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#call?.cancel();
    this.#client?.close();
  }

  get #deviceNames(): readonly string[] {
    return Array.from({ length: this.#options.devicesPerAgent }, (_, index) => `cuda:${index}`);
  }

  #dial(address: string): void {
    this.#client?.close();
    this.#client = createClient(WorkerLinkClient, address, { silenceMsMax });
    const call = this.#client.connect();
    this.#call = call;
    this.#welcomed = false;
    call.on("data", ({ message }: ConnectResponse) => this.#hear(message));
    call.on("error", () => {});
    call.on("status", () => this.#redial("")); // the last thing of a call
    const hello = testHelloMessage(this.id);
    const [device] = hello.devices;
    const devices = this.#deviceNames.map((name) => ({ ...device, name })) as typeof hello.devices;
    const held = [...this.held.values()].flatMap(({ lease }) => refOf(lease));
    const completed = this.#unheard.map(({ lease }) => completedMessage(lease));
    call.write({ message: { $case: "hello", value: { ...hello, devices, held, completed } } });
  }

  #redial(leader: string): void {
    if (this.#stopped) return;
    this.#call = undefined;
    this.#welcomed = false;
    const { addresses } = this.#options;
    const waitMs = Math.max(redialMs, this.#awayUntilMs - performance.now());
    const next = leader || (addresses[++this.#turn % addresses.length] ?? "");
    setTimeout(() => {
      if (!this.#stopped) this.#dial(next);
    }, waitMs);
  }

  #hear(message: ConnectResponse["message"]): void {
    switch (message?.$case) {
      case "welcome":
        this.#welcomed = true;
        this.#term = message.value.term;
        this.#unheard = [];
        this.#report();
        break;
      case "redirect": {
        const call = this.#call;
        call?.removeAllListeners("status");
        this.#redial(message.value.leader);
        call?.cancel();
        break;
      }
      case "lease":
        this.#begin(message.value);
        break;
      case "cancel":
        this.#drop(message.value.attempt);
        break;
      default:
    }
  }

  #begin(lease: Lease): void {
    this.#crew.leased(this.#term);
    const doneAtMs = performance.now() + this.#options.renderMs(lease);
    this.held.set(nameOf(lease), { lease, device: lease.device, doneAtMs });
    this.#report();
  }

  #drop(attempt: AttemptRef | undefined): void {
    for (const [name, { lease }] of this.held) {
      if (lease.attempt?.segmentId !== attempt?.segmentId) continue;
      if (lease.attempt?.attempt !== attempt?.attempt) continue;
      this.held.delete(name);
      const failure = { code: "CANCELLED", message: "as asked" };
      this.#say({ $case: "failed", value: { attempt, failure, childDead: true } });
    }
  }

  #work(): void {
    const now = performance.now();
    for (const [name, held] of this.held) {
      if (held.doneAtMs > now) continue;
      this.held.delete(name);
      this.#crew.rendered.add(name);
      this.#unheard.push(held);
      this.#say({ $case: "completed", value: completedMessage(held.lease) });
    }
    if (this.#welcomed) this.#unheard = this.#unheard.filter((done) => done.doneAtMs > now - 1_000);
    this.#report();
  }

  #report(): void {
    const busy = new Set([...this.held.values()].map(({ device }) => device));
    const attempts = [...this.held.values()].map(({ lease }) => ({
      attempt: lease.attempt,
      ...{ stage: "denoise", step: 1, steps: 10, totals: undefined },
    }));
    const idleDevices = this.#deviceNames.filter((name) => !busy.has(name));
    this.#say({ $case: "progress", value: { attempts, idleDevices, draining: false } });
  }

  #say(message: NonNullable<ConnectRequest["message"]>): void {
    this.#call?.write({ message }); // behind the Hello, also before the Welcome
  }
}

function refOf({ attempt }: Lease): AttemptRef[] {
  return attempt ? [attempt] : [];
}

function nameOf({ clipId, attempt }: Lease): string {
  return `${clipId}/${attempt?.attempt ?? 0}`;
}

function completedMessage({ attempt, artifactPrefix }: Lease) {
  return completion(attempt, `${artifactPrefix}clip.mp4`);
}
