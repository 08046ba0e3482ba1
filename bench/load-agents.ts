// A process of simulated agents for the benchmark of placement: each has its own connection, as an
// agent on a machine of its own would, and speaks as the worker does, but renders nothing. Its one
// device asks for a lease when it is free, so that the wait that is measured is the whole one.
import { createClient } from "../common/rpc.js";
import {
  type AttemptProgress,
  type AttemptRef,
  type ConnectRequest,
  type ConnectResponse,
  type Lease,
  type Model,
  WorkerLinkClient,
} from "../proto/gen/tocafarm/v1/worker.js";
import { benchDevice, benchHello, benchModels } from "./bench-farm.js";
import type { FromLoad, ToLoad } from "./load-messages.js";

const renewMs = 1_000; // as the worker: half of what the coordinator asks for
const silenceMsMax = 4_500; // as the worker

let waitsMs: number[] = [];
let holdMs = 0;
let works = false;

class Agent {
  readonly #call: ReturnType<WorkerLinkClient["connect"]>;
  readonly #progressTimer: NodeJS.Timeout;
  #held: AttemptRef | undefined;
  #steps = 0;
  #askedMs = 0;

  constructor(address: string, id: string, models: readonly Model[], onWelcome: () => void) {
    this.#call = createClient(WorkerLinkClient, address, { silenceMsMax }).connect();
    this.#call.on("data", ({ message }: ConnectResponse) => {
      if (message?.$case === "welcome") onWelcome();
      if (message?.$case === "lease") this.#onLease(message.value);
    });
    this.#call.on("error", (error) => {
      throw error; // a run in which a connection broke measures something else
    });
    this.#say({ $case: "hello", value: benchHello(id, models) });
    this.#progressTimer = setInterval(() => this.#sayProgress(), renewMs);
  }

  /** The device is free. */
  ask(): void {
    this.#askedMs = performance.now();
    this.#sayProgress();
  }

  #onLease({ attempt, artifactPrefix, spec }: Lease): void {
    waitsMs.push(performance.now() - this.#askedMs);
    this.#held = attempt;
    this.#steps = spec?.steps ?? 0;
    this.#progressTimer.refresh();
    this.#sayProgress();
    const end = () => this.#complete(artifactPrefix);
    if (holdMs === 0) setImmediate(end);
    else setTimeout(end, holdMs * (0.5 + Math.random()));
  }

  #complete(prefix: string): void {
    const artifacts = ["video.mp4", "manifest.json", "profile.json"].map((name) => {
      return { key: prefix + name, sha256: "0".repeat(64), sizeBytes: 100_000n };
    });
    this.#say({ $case: "completed", value: { attempt: this.#held, artifacts, totals: undefined } });
    this.#held = undefined;
    if (works) this.ask();
  }

  /** What is held, with its first step done; else that the device is free. */
  #sayProgress(): void {
    const steps = this.#steps;
    const report = { attempt: this.#held, stage: "denoise", step: 1, steps, totals: undefined };
    const attempts: AttemptProgress[] = this.#held === undefined ? [] : [report];
    const idleDevices = this.#held === undefined && works ? [benchDevice] : [];
    this.#say({ $case: "progress", value: { attempts, idleDevices, draining: false } });
  }

  #say(message: NonNullable<ConnectRequest["message"]>): void {
    this.#call.write({ message });
  }
}

const agents: Agent[] = [];

async function open({ address, first, count }: Extract<ToLoad, { type: "open" }>): Promise<void> {
  const models = await benchModels();
  for (let index = first; index < first + count; index++) {
    await new Promise<void>((resolve) => {
      agents.push(new Agent(address, `agent-${index}`, models, resolve));
    });
  }
  tell({ type: "opened" });
}

function tell(message: FromLoad): void {
  process.send?.(message);
}

process.on("disconnect", () => process.exit());
process.on("message", (raw) => {
  const message = raw as ToLoad; // our own program wrote it
  switch (message.type) {
    case "open":
      void open(message);
      break;
    case "work":
      holdMs = message.holdMs;
      if (!works) {
        works = true;
        for (const agent of agents) agent.ask();
      }
      break;
    case "reset":
      waitsMs = [];
      break;
    case "collect":
      tell({ type: "measured", waitsMs });
      break;
    case "rest":
      works = false;
  }
});
