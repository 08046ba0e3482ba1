// The agent of a node, as worker/agent.ts: it holds the leases, gives each to the engine of its
// device, reports what came of it, and says everything again to a coordinator that may not have
// heard it.

import type { AttemptRef, Checkpoint, Failure } from "../coordinator/core/events.js";
import type { AttemptReport, ModelInfo } from "../coordinator/core/liveness.js";
import type { DownMessage, LeaseMessage, UpMessage } from "./connection.js";
import { type HeldAttempt, SimulatedEngine } from "./engine.js";
import { SimulatedProcess } from "./process.js";
import type { AgentSpec, BatchSpec, Timing } from "./scenario.js";
import {
  type CheckpointReport,
  completedReport,
  interrupted,
  isSame,
  nameOf,
  newSeat,
  type Report,
  reportOf,
  type Seat,
  totalsOf,
} from "./seat.js";
import { canarySha256, passName, type SimulatedStore, sha256Of } from "./store.js";
import type { Timeline } from "./timeline.js";

/** What an agent needs of the world. */
export interface AgentWorld {
  readonly timeline: Timeline;
  readonly timing: Timing;
  readonly store: SimulatedStore;
  /** What a batch's clips really take. */
  batchSpec(batch: string): BatchSpec;
  modelInfo(model: string): ModelInfo;
  onBegun(attempt: HeldAttempt): void;
  onEnded(agent: SimulatedAgent, attempt: HeldAttempt, failure: Failure | null): void;
}

/** What an agent says on, and how it hangs up. */
export interface AgentLink {
  say(message: UpMessage): void;
  hangUp(): void;
}

const canaryMs = 5_000;

/** Reports kept for repetition, as the incident "repeat_reports" wants them. */
const saidMax = 16;

export class SimulatedAgent {
  readonly spec: AgentSpec;
  readonly process: SimulatedProcess;
  readonly #world: AgentWorld;
  readonly #seats = new Map<string, Seat>();
  readonly #checkpoints = new Map<string, CheckpointReport>();
  readonly #said: Report[] = [];
  #link: AgentLink | null = null;
  #welcomed = false;
  #draining = false;
  #storeBroken = false;
  #onDrained: (() => void) | null = null;

  constructor(spec: AgentSpec, world: AgentWorld) {
    this.spec = spec;
    this.#world = world;
    this.process = new SimulatedProcess(world.timeline);
    const { process } = this;
    for (const device of spec.devices) {
      const engine = new SimulatedEngine(device, world.timeline, world.timing, {
        onCondition: (changed) => process.reach(() => this.#tellDevice(changed)),
        onLastSteps: () => process.reach(() => this.#progress()),
        onCheckpoint: (_, attempt, step) => process.reach(() => this.#checkpoint(attempt, step)),
        onEnd: (_, attempt, failure) =>
          process.reach(() => this.#ended(device.name, attempt, failure)),
      });
      this.#seats.set(device.name, newSeat(engine));
    }
  }

  get engines(): readonly SimulatedEngine[] {
    return [...this.#seats.values()].map(({ engine }) => engine);
  }

  /** Devices that want a lease, said to a coordinator that has welcomed the agent. */
  asking(): readonly string[] {
    if (this.#link === null || !this.#welcomed) return [];
    const names: string[] = [];
    for (const [name, seat] of this.#seats) if (this.#asks(seat)) names.push(name);
    return names;
  }

  start(): void {
    this.process.start();
    this.#draining = false;
    for (const { engine } of this.#seats.values()) engine.start();
    this.#progressEvery();
  }

  /** kill -9: nothing is left of what it knew, and its engines die with it. */
  crash(): void {
    this.#link?.hangUp();
    this.#link = null;
    this.#onDrained = null;
    this.process.kill();
    this.#checkpoints.clear();
    this.#said.length = 0;
    for (const [name, { engine }] of this.#seats) {
      engine.kill();
      this.#seats.set(name, newSeat(engine));
    }
  }

  /**
   * SIGTERM: finishes what fits the grace, cuts the rest, and calls `onDrained` when all is said.
   */
  drain(onDrained: () => void): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#onDrained = onDrained;
    const { graceMs } = this.#world.timing;
    for (const seat of this.#seats.values()) {
      if (seat.queued) this.#handBack(seat, interrupted("the agent is stopping"));
      if (seat.engine.remainingMs > graceMs) seat.engine.cut();
    }
    this.process.after(graceMs, () => {
      for (const { engine } of this.#seats.values()) engine.stop(interrupted("the grace is over"));
    });
    this.#progress();
    this.#endIfDrained();
  }

  // ---- what the link does

  /** A new connection begins with this. */
  hello(): UpMessage {
    const { id, devices, models } = this.spec;
    const seats = [...this.#seats.values()];
    const kept = seats.flatMap((seat) => seat.reports);
    const reports = kept.map(({ report }) => report);
    // What is left of a completed attempt nobody needs.
    const undone = kept.filter(({ report }) => report.type === "failed");
    const checkpoints = [
      ...undone.flatMap(({ checkpoint }) => checkpoint ?? []),
      ...this.#checkpoints.values(),
    ];
    const held = [...this.#held().map(({ lease }) => lease.ref), ...reports.map(({ ref }) => ref)];
    const infos = devices.flatMap(({ name }) => this.#seats.get(name)?.engine.info ?? []);
    const hello = {
      id,
      version: "simulated",
      devices: infos,
      models: models.map((model) => this.#world.modelInfo(model)),
      held,
      draining: this.#draining,
    };
    return [{ type: "hello", hello }, ...checkpoints, ...reports];
  }

  /** A connection has begun with a Hello. */
  attach(link: AgentLink): void {
    this.#link = link;
    this.#welcomed = false;
  }

  detach(): void {
    this.#link = null;
  }

  onMessage(message: DownMessage): void {
    switch (message.type) {
      case "welcome":
        this.#welcomed = true;
        this.#progress();
        return;
      case "lease":
        this.#lease(message.lease);
        return;
      case "stop":
        this.#stop(message.ref);
        return;
      case "cut":
        this.#cut(message.ref);
        return;
      case "canary":
        this.#tryDevice(message.device, message.id);
        return;
      default:
    }
  }

  /** Says reports again that were said already: the newest ones, whether they were heard or not. */
  repeatReports(count: number): void {
    const reports = this.#said.slice(-count);
    for (const report of reports) this.#link?.say([report]);
  }

  setStoreBroken(broken: boolean): void {
    this.#storeBroken = broken;
  }

  damageCheckpoints(count: number): void {
    for (const seat of this.#seats.values()) seat.damagedCheckpoints += count;
  }

  // ---- leases

  #lease(lease: LeaseMessage): void {
    const seat = this.#seats.get(lease.device);
    if (this.#held().some(({ lease: { ref } }) => isSame(ref, lease.ref))) return; // said twice
    if (seat === undefined || !this.#asks(seat)) {
      const message = `device ${lease.device} of ${this.spec.id} takes no clip now`;
      this.#link?.say([this.#failed(lease.ref, { code: "UNAVAILABLE", message })]);
      return;
    }
    // The device has one other live attempt at most, so all reports but the newest were heard.
    seat.reports = seat.reports.slice(-1);
    const { ref, preview, segment, resume } = lease;
    const attempt: HeldAttempt = {
      lease,
      pass: { batch: ref.batch, clip: ref.clip, preview, segment },
      batch: this.#world.batchSpec(ref.batch),
      from: resume === null ? undefined : this.#world.store.checkpoint(resume.artifact.key),
      begun: false,
      stopping: false,
    };
    seat.queued = attempt;
    this.#beginNext(seat);
  }

  #beginNext(seat: Seat): void {
    const { engine, running, queued } = seat;
    if (queued === null || running !== null || !engine.ready) return;
    seat.queued = null;
    seat.running = queued;
    this.#world.onBegun(queued);
    engine.begin(queued);
  }

  #stop(ref: AttemptRef): void {
    const failure = { code: "CANCELLED", message: "the attempt was stopped" };
    const seat = this.#seatOf(ref);
    if (seat?.queued && isSame(seat.queued.lease.ref, ref)) this.#handBack(seat, failure);
    else seat?.engine.stop(failure);
  }

  #cut(ref: AttemptRef): void {
    const seat = this.#seatOf(ref);
    if (seat?.queued && isSame(seat.queued.lease.ref, ref))
      this.#handBack(seat, interrupted("cut"));
    else seat?.engine.cut();
  }

  #handBack(seat: Seat, failure: Failure): void {
    const attempt = seat.queued;
    if (attempt === null) return;
    seat.queued = null;
    this.#world.onEnded(this, attempt, failure);
    this.#report(seat, this.#failed(attempt.lease.ref, failure));
  }

  #ended(device: string, attempt: HeldAttempt, end: Failure | null): void {
    const seat = this.#seats.get(device);
    if (seat === undefined) return;
    const unwritten = this.#storeBroken ? { code: "IO", message: "no space is left" } : null;
    const failure = end ?? unwritten;
    const { engine } = seat;
    seat.running = null;
    this.#world.onEnded(this, attempt, failure);
    const { ref } = attempt.lease;
    const worker = this.spec.id;
    const done = () => completedReport(worker, engine.spec.kind, attempt);
    this.#report(seat, failure ? this.#failed(ref, failure) : done());
    this.#beginNext(seat);
    if (seat.canary !== null) this.#renderCanary(device, seat.canary);
    this.#progress();
    this.#endIfDrained();
  }

  #checkpoint(attempt: HeldAttempt, step: number): void {
    const { ref, device } = attempt.lease;
    const seat = this.#seats.get(device);
    if (seat === undefined || this.#storeBroken) return;
    const damaged = seat.damagedCheckpoints > 0;
    if (damaged) seat.damagedCheckpoints -= 1;
    const { kind } = seat.engine.spec;
    const pass = passName(attempt.pass);
    const artifact = this.#world.store.putCheckpoint(ref, { pass, kind, step, damaged });
    const checkpoint: Checkpoint = { step, artifact, totals: totalsOf(attempt, step) };
    const report: CheckpointReport = { type: "checkpoint", worker: this.spec.id, ref, checkpoint };
    this.#checkpoints.set(nameOf(ref), report);
    this.#link?.say([report]);
  }

  #failed(ref: AttemptRef, failure: Failure): Report {
    return { type: "failed", worker: this.spec.id, ref, failure, childDead: true };
  }

  /** Said now, and again in every Hello until it is known to be heard. */
  #report(seat: Seat, report: Report): void {
    const name = nameOf(report.ref);
    seat.reports = [...seat.reports, { report, checkpoint: this.#checkpoints.get(name) }];
    this.#checkpoints.delete(name);
    this.#said.push(report);
    if (this.#said.length > saidMax) this.#said.shift();
    this.#link?.say([report]);
  }

  // ---- devices

  #tellDevice(engine: SimulatedEngine): void {
    const seat = this.#seats.get(engine.spec.name);
    this.#link?.say([{ type: "device", worker: this.spec.id, device: engine.info }]);
    if (seat !== undefined) this.#beginNext(seat);
    this.#progress();
  }

  #tryDevice(device: string, id: string): void {
    const seat = this.#seats.get(device);
    if (seat === undefined) return;
    seat.canary = id;
    if (seat.running === null) this.#renderCanary(device, id);
  }

  #renderCanary(device: string, id: string): void {
    const seat = this.#seats.get(device);
    this.process.after(canaryMs, () => {
      if (seat?.canary !== id) return;
      seat.canary = null;
      const { broken, spec } = seat.engine;
      const failure = { code: "ENGINE_CRASH", message: `${device} is broken` };
      const sha256 =
        broken === "differs" ? sha256Of(`noise on ${device}`) : canarySha256(spec.kind);
      const result = broken === "fails" ? { sha256: "", failure } : { sha256, failure: null };
      const worker = this.spec.id;
      this.#link?.say([{ type: "canary_result", worker, device, id, ...result }]);
      this.#progress();
    });
  }

  // ---- progress

  #progressEvery(): void {
    this.process.after(this.#world.timing.progressPeriodMs, () => {
      this.#progress();
      this.#progressEvery();
    });
  }

  #progress(): void {
    if (this.#link === null || !this.#welcomed) return;
    const idleDevices = this.asking();
    const attempts: AttemptReport[] = [];
    for (const { engine, running, queued } of this.#seats.values()) {
      if (running !== null) attempts.push(reportOf(running, engine));
      if (queued !== null) attempts.push(reportOf(queued, engine));
    }
    const draining = this.#draining;
    const worker = this.spec.id;
    this.#link.say([{ type: "progress", worker, attempts, idleDevices, draining }]);
  }

  /** Ready, and without an attempt or in the last steps of the only one. */
  #asks({ engine, running, queued, canary }: Seat): boolean {
    const free = running === null || (engine.attempt === running && engine.inLastSteps);
    return free && engine.ready && queued === null && canary === null && !this.#draining;
  }

  #held(): readonly HeldAttempt[] {
    const held: HeldAttempt[] = [];
    for (const { running, queued } of this.#seats.values()) {
      if (running !== null) held.push(running);
      if (queued !== null) held.push(queued);
    }
    return held;
  }

  #seatOf(ref: AttemptRef): Seat | undefined {
    for (const seat of this.#seats.values()) {
      const { running, queued } = seat;
      if (queued !== null && isSame(queued.lease.ref, ref)) return seat;
      if (running !== null && isSame(running.lease.ref, ref)) return seat;
    }
    return undefined;
  }

  #endIfDrained(): void {
    if (!this.#draining || this.#held().length > 0) return;
    const done = this.#onDrained;
    this.#onDrained = null;
    done?.();
  }
}
