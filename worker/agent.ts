// The agent of a node: it holds the leases. It gives each to the engine process of its device,
// reports what came of it, and says everything again to a coordinator that may not have heard it.
// It never touches a device itself, so its heartbeat cannot stall.
import type { ArtifactStore } from "../artifacts/port.js";
import { asFarmError, FarmError } from "../common/errors.js";
import type { Log } from "../common/log.js";
import type {
  AttemptRef,
  Canary,
  CancelAttempt,
  ConnectRequest,
  CutAttempt,
  Hello,
  Lease,
  Model,
  Progress,
} from "../proto/gen/tocafarm/v1/worker.js";
import { deviceMessage, failedReport, nameOf, newsOf } from "./agent-messages.js";
import { Attempt, type EngineNews } from "./attempt.js";
import { Canaries } from "./canary.js";
import { DeviceSlots } from "./device-slots.js";
import { drainAttempts } from "./drain.js";
import type { ModelRef } from "./engine-messages.js";
import type { WorkerMetrics } from "./metrics.js";
import { Pace } from "./remaining.js";
import { type Report, Reports } from "./reports.js";
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
  /** At least so long between two checkpoints of a clip; 0 = at each refresh point. */
  readonly checkpointPeriodSeconds: number;
}

interface OwnDevice {
  readonly slots: DeviceSlots;
  readonly pace: Pace;
  /** What was told of it last, to tell only news. */
  told: string;
}

export class Agent {
  readonly #options: AgentOptions;
  readonly #devices = new Map<string, OwnDevice>();
  readonly #reports = new Reports();
  readonly #canaries: Canaries;
  #link: AgentLink | undefined;
  #draining = false;
  #onAttemptEnd: (() => void) | undefined;

  constructor(options: AgentOptions) {
    const { models, folder, log } = options;
    this.#options = options;
    this.#canaries = new Canaries({
      models,
      folder,
      log,
      onResult: (value) => {
        this.#link?.send({ $case: "canaryResult", value });
      },
    });
  }

  /** Adds the supervisor of a device, before the link starts. */
  addDevice(supervisor: Supervisor): void {
    const slots = new DeviceSlots(supervisor);
    this.#devices.set(slots.device, { slots, pace: new Pace(), told: newsOf(supervisor) });
  }

  attach(link: AgentLink): void {
    this.#link = link;
  }

  hello(): Hello {
    const devices = [...this.#devices.values()];
    for (const device of devices) device.told = newsOf(device.slots.supervisor);
    const held = this.#attempts();
    const kept = held.flatMap(({ checkpoint }) => (checkpoint === undefined ? [] : [checkpoint]));
    return {
      workerId: this.#options.workerId,
      version: this.#options.version,
      devices: devices.map(({ slots }) => deviceMessage(slots.supervisor)),
      models: [...this.#options.modelMessages],
      held: held.map(({ ref }) => ref),
      completed: this.#reports.completed,
      failed: this.#reports.failed,
      checkpoints: [...this.#reports.checkpoints, ...kept],
      draining: this.#draining,
    };
  }

  progress(): Progress {
    const asking = [...this.#devices].filter(([, { slots }]) => this.#asks(slots));
    return {
      attempts: this.#attempts().map((attempt) => attempt.progress()),
      idleDevices: asking.map(([name]) => name),
      draining: this.#draining,
    };
  }

  onLease(lease: Lease): void {
    const ref = lease.attempt;
    if (ref === undefined) {
      this.#options.log.error({ clip: lease.clipId }, "a lease without an attempt was passed over");
      return;
    }
    if (this.#find(ref) !== undefined) return; // said twice
    const reported = this.#reports.of(ref);
    const device = this.#devices.get(lease.device);
    if (reported !== undefined) {
      this.#link?.send(reported);
    } else if (device === undefined || this.#draining || !device.slots.hasRoom) {
      const why = `device ${lease.device} of ${this.#options.workerId} takes no clip now`;
      this.#link?.send(failedReport(ref, new FarmError("UNAVAILABLE", why)));
    } else {
      this.#reports.leaseGiven(lease.device);
      const { supervisor } = device.slots;
      device.slots.put(
        new Attempt({
          ...{ ...this.#options, lease, ref, supervisor, pace: device.pace },
          onEngineEvent: (news) => this.#onEngineEvent(device.slots, news),
          onCheckpoint: (value) => this.#link?.send({ $case: "checkpoint", value }),
        }),
      );
      this.#advance(device.slots);
    }
  }

  onCancel({ attempt: ref, reason }: CancelAttempt): void {
    const why = new FarmError("CANCELLED", `the attempt was ${reason || "cancelled"}`);
    this.#stop(ref, why, (attempt) => attempt.cancel(why));
  }

  onCut({ attempt: ref, reason }: CutAttempt): void {
    const why = new FarmError("INTERRUPTED", `the attempt was ${reason || "cut"}`);
    this.#stop(ref, why, (attempt) => attempt.cut(why));
  }

  onCanary(canary: Canary): void {
    const slots = this.#devices.get(canary.device)?.slots;
    this.#canaries.ask(canary, slots?.supervisor);
    if (slots !== undefined) this.#advance(slots);
  }

  /** A device's status, or whether it is idle, may have changed. */
  onDeviceChange(name: string): void {
    const device = this.#devices.get(name);
    if (device === undefined) return;
    const { supervisor } = device.slots;
    if (device.told !== newsOf(supervisor)) {
      device.told = newsOf(supervisor);
      this.#link?.send({ $case: "deviceChanged", value: { device: deviceMessage(supervisor) } });
    }
    // Its engine may be long in coming back: another device begins the clip sooner.
    if (supervisor.status !== "ready") {
      this.#handBack(device.slots, new FarmError("INTERRUPTED", `device ${name} is not ready`));
      this.#canaries.deviceGone(name, supervisor.status);
    }
    this.#advance(device.slots);
  }

  /**
   * Takes no more leases; lets the attempts end that end within the grace, cuts the others at a
   * refresh point, and hands back what is then left when the grace is nearly over or `hurry`
   * aborts.
   */
  async drain(graceMs: number, hurry: AbortSignal): Promise<void> {
    this.#draining = true;
    const why = new FarmError("INTERRUPTED", "drained");
    for (const { slots } of this.#devices.values()) this.#handBack(slots, why);
    this.#link?.progressNow();
    await drainAttempts({
      ...{ graceMs, hurry, why },
      attempts: () => this.#attempts(),
      ended: () =>
        new Promise((resolve) => {
          this.#onAttemptEnd = resolve;
        }),
      // The report comes first; the engine is killed when the worker stops.
      handBack: (attempt) => this.#link?.send(failedReport(attempt.ref, why, false)),
    });
  }

  #onEngineEvent(slots: DeviceSlots, { attempt, event, entersLastSteps }: EngineNews): void {
    const { metrics } = this.#options;
    if (event.type === "stage_ended") metrics.observeStage(event.stage, event.seconds);
    if (event.type === "prompt") metrics.countPrompt(event.kept ? "kept" : "encoded");
    if (event.type === "steps") metrics.countSteps(slots.device, attempt.model, event);
    if (entersLastSteps) this.#link?.progressNow();
    else this.#link?.progressSoon();
  }

  /** Gives the engine its next work, or asks for some. */
  #advance(slots: DeviceSlots): void {
    if (slots.engineFree && !this.#draining) {
      const canary = this.#canaries.take(slots.device);
      const attempt = canary === undefined ? slots.begin() : undefined;
      if (canary !== undefined) void this.#try(slots, canary);
      if (attempt !== undefined) void this.#run(slots, attempt);
    }
    if (this.#asks(slots)) this.#link?.progressNow();
  }

  async #try(slots: DeviceSlots, canary: Canary): Promise<void> {
    slots.occupy();
    await this.#canaries.run(canary, slots.supervisor);
    slots.release();
    this.#advance(slots);
  }

  #asks(slots: DeviceSlots): boolean {
    return !this.#draining && slots.wantsLease;
  }

  async #run(slots: DeviceSlots, attempt: Attempt): Promise<void> {
    const { log } = this.#options;
    const name = nameOf(attempt.ref);
    log.info({ attempt: name, device: slots.device }, "attempt begins");
    this.#link?.progressNow(); // from now on it costs something to take it back
    const onEngineFree = () => {
      slots.freeEngine(attempt);
      this.#advance(slots);
    };
    let report: Report;
    try {
      report = { $case: "completed", value: await attempt.run(onEngineFree) };
      log.info({ attempt: name }, "attempt completed");
    } catch (thrown) {
      const error = asFarmError(thrown);
      report = failedReport(attempt.ref, error);
      log.warn({ attempt: name, code: error.code, reason: error.message }, "attempt failed");
    }
    this.#end(slots, attempt, report);
  }

  /** Stops a held attempt: by `stop`, or at once while it is not begun. */
  #stop(ref: AttemptRef | undefined, why: FarmError, stop: (attempt: Attempt) => void): void {
    const found = ref && this.#find(ref);
    if (found === undefined) return;
    if (found.slots.isWaiting(found.attempt)) this.#handBack(found.slots, why);
    else stop(found.attempt);
  }

  /** Gives back the attempt that waits, if one does. */
  #handBack(slots: DeviceSlots, why: FarmError): void {
    const attempt = slots.dropWaiting();
    if (attempt !== undefined) this.#end(slots, attempt, failedReport(attempt.ref, why));
  }

  #end(slots: DeviceSlots, attempt: Attempt, report: Report): void {
    slots.remove(attempt);
    this.#reports.add(slots.device, report, attempt.checkpoint);
    this.#link?.send(report);
    this.#link?.progressNow();
    this.#onAttemptEnd?.();
  }

  #find(ref: AttemptRef): { readonly slots: DeviceSlots; readonly attempt: Attempt } | undefined {
    for (const { slots } of this.#devices.values()) {
      const attempt = slots.attempts.find((held) => nameOf(held.ref) === nameOf(ref));
      if (attempt !== undefined) return { slots, attempt };
    }
    return undefined;
  }

  #attempts(): readonly Attempt[] {
    return [...this.#devices.values()].flatMap(({ slots }) => slots.attempts);
  }
}
