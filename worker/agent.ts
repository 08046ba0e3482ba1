// The agent of a node: it holds the leases. It gives each to the engine process of its device,
// reports what came of it, and says everything again to a coordinator that may not have heard it.
// It never touches a device itself, so its heartbeat cannot stall.
import type { ArtifactStore } from "../artifacts/port.js";
import { asFarmError, type ErrorCode, FarmError } from "../common/errors.js";
import { attemptName } from "../common/ids.js";
import type { Log } from "../common/log.js";
import type {
  AttemptRef,
  CancelAttempt,
  Completed,
  ConnectRequest,
  Device,
  Failed,
  Hello,
  Lease,
  Model,
  Progress,
} from "../proto/gen/tocafarm/v1/worker.js";
import { Attempt } from "./attempt.js";
import type { FromEngine, ModelRef } from "./engine-messages.js";
import type { WorkerMetrics } from "./metrics.js";
import type { Supervisor } from "./supervisor.js";

/** What the agent needs of the link. */
export interface AgentLink {
  send(message: NonNullable<ConnectRequest["message"]>): void;
  progressNow(): void;
  progressSoon(): void;
}

export interface AgentOptions {
  readonly workerId: string;
  readonly version: string;
  readonly models: ReadonlyMap<string, ModelRef>;
  /** As announced. */
  readonly modelMessages: readonly Model[];
  readonly store: ArtifactStore;
  readonly metrics: WorkerMetrics;
  readonly log: Log;
  /** For the attempts' own folders. */
  readonly folder: string;
}

type Report =
  | { readonly $case: "completed"; readonly value: Completed }
  | { readonly $case: "failed"; readonly value: Failed };

export class Agent {
  readonly #options: AgentOptions;
  readonly #supervisors = new Map<string, Supervisor>();
  readonly #told = new Map<string, string>();
  readonly #attempts = new Map<string, Attempt>();
  /** The last report of each device: heard for certain only when it is given another lease. */
  readonly #unacknowledged = new Map<string, Report>();
  #link: AgentLink | undefined;
  #draining = false;
  #whenIdle: (() => void) | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** Adds the supervisor of a device, before the link starts. */
  addDevice(supervisor: Supervisor): void {
    this.#supervisors.set(supervisor.settings.device, supervisor);
    this.#told.set(supervisor.settings.device, newsOf(supervisor));
  }

  attach(link: AgentLink): void {
    this.#link = link;
  }

  hello(): Hello {
    const reports = [...this.#unacknowledged.values()];
    for (const [device, supervisor] of this.#supervisors) {
      this.#told.set(device, newsOf(supervisor));
    }
    return {
      workerId: this.#options.workerId,
      version: this.#options.version,
      devices: [...this.#supervisors.values()].map(deviceMessage),
      models: [...this.#options.modelMessages],
      held: [...this.#attempts.values()].map(({ ref }) => ref),
      completed: reports.flatMap((report) => (report.$case === "completed" ? [report.value] : [])),
      failed: reports.flatMap((report) => (report.$case === "failed" ? [report.value] : [])),
      checkpoints: [],
      draining: this.#draining,
    };
  }

  progress(): Progress {
    return {
      attempts: [...this.#attempts.values()].map((attempt) => attempt.progress()),
      idleDevices: [...this.#supervisors.keys()].filter((device) => this.#isFree(device)),
      draining: this.#draining,
    };
  }

  onLease(lease: Lease): void {
    const ref = lease.attempt;
    if (ref === undefined) {
      this.#options.log.error({ clip: lease.clipId }, "a lease without an attempt was passed over");
      return;
    }
    if (this.#attempts.has(nameOf(ref))) return; // said twice
    const supervisor = this.#supervisors.get(lease.device);
    if (supervisor === undefined || !this.#isFree(lease.device)) {
      const why = `device ${lease.device} of ${this.#options.workerId} takes no clip now`;
      this.#link?.send(failedReport(ref, new FarmError("UNAVAILABLE", why)));
      return;
    }
    this.#unacknowledged.delete(lease.device);
    void this.#run(new Attempt({ ...this.#options, lease, ref, supervisor }));
  }

  onCancel({ attempt: ref, reason }: CancelAttempt): void {
    const attempt = ref && this.#attempts.get(nameOf(ref));
    attempt?.cancel(new FarmError("CANCELLED", `the attempt was ${reason || "cancelled"}`));
  }

  /** A device's status, or whether it is idle, may have changed. */
  onDeviceChange(device: string): void {
    const supervisor = this.#supervisors.get(device);
    if (supervisor === undefined) return;
    if (this.#told.get(device) !== newsOf(supervisor)) {
      this.#told.set(device, newsOf(supervisor));
      const value = { device: deviceMessage(supervisor) };
      this.#link?.send({ $case: "deviceChanged", value });
    }
    if (this.#isFree(device)) this.#link?.progressNow();
  }

  onEngineEvent(device: string, event: FromEngine): void {
    const { metrics } = this.#options;
    if (event.type === "stage_ended") metrics.observeStage(event.stage, event.seconds);
    const attempt = this.#attemptOn(device);
    if (attempt === undefined) return;
    if (event.type === "steps") metrics.countSteps(device, attempt.model, event);
    attempt.onEngineEvent(event);
    this.#link?.progressSoon();
  }

  /** Takes no more leases; waits for running attempts, and after the grace hands them back. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    this.#link?.progressNow();
    const handBack = setTimeout(() => this.#handBack(), graceMs);
    if (this.#attempts.size > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    clearTimeout(handBack);
  }

  #handBack(): void {
    for (const attempt of this.#attempts.values()) {
      attempt.cancel(new FarmError("UNAVAILABLE", "drained"));
    }
  }

  async #run(attempt: Attempt): Promise<void> {
    const { log } = this.#options;
    const name = nameOf(attempt.ref);
    this.#attempts.set(name, attempt);
    log.info({ attempt: name, device: attempt.device }, "attempt begins");
    let report: Report;
    try {
      report = { $case: "completed", value: await attempt.run() };
      log.info({ attempt: name }, "attempt completed");
    } catch (thrown) {
      const error = asFarmError(thrown);
      report = failedReport(attempt.ref, error);
      log.warn({ attempt: name, code: error.code, reason: error.message }, "attempt failed");
    }
    this.#attempts.delete(name);
    this.#unacknowledged.set(attempt.device, report);
    this.#link?.send(report);
    this.#link?.progressNow();
    if (this.#attempts.size === 0) this.#whenIdle?.();
  }

  #attemptOn(device: string): Attempt | undefined {
    return [...this.#attempts.values()].find((attempt) => attempt.device === device);
  }

  #isFree(device: string): boolean {
    const idle = this.#supervisors.get(device)?.idle === true;
    return idle && !this.#draining && this.#attemptOn(device) === undefined;
  }
}

function nameOf({ segmentId, attempt }: AttemptRef): string {
  return attemptName(segmentId, attempt);
}

/** Always with a dead child: an attempt ends only when its engine is idle again or gone. */
function failedReport(attempt: AttemptRef, { code, message }: FarmError) {
  const failure: { code: ErrorCode; message: string } = { code, message };
  return { $case: "failed" as const, value: { attempt, failure, childDead: true } };
}

/** What of a device changes, as one text to compare. */
function newsOf({ status, loadedModel }: Supervisor): string {
  return `${status} ${loadedModel}`;
}

const deviceStates = {
  starting: "DEVICE_STATE_STARTING",
  ready: "DEVICE_STATE_READY",
  failed: "DEVICE_STATE_FAILED",
} as const;

function deviceMessage({ settings, info, status, loadedModel }: Supervisor): Device {
  return {
    name: settings.device,
    kind: info?.kind ?? "",
    memoryBytes: BigInt(info?.memoryBytes ?? 0),
    dtype: settings.dtype,
    state: deviceStates[status],
    loadedModel,
  };
}
