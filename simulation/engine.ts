// A device and its engine process: one attempt at a time, at the device's own speed, which may
// change while it works; it may crash, hang, or be broken so that nothing comes out right.

import type { Failure } from "../coordinator/core/events.js";
import type { DeviceCondition, DeviceInfo } from "../coordinator/core/liveness.js";
import type { LeaseMessage } from "./connection.js";
import { type Course, nextRefreshPoint, stepAfter, workAt, workInAll } from "./course.js";
import type { BatchSpec, DeviceSpec, Timing } from "./scenario.js";
import type { Pass, StoredCheckpoint } from "./store.js";
import type { Planned, Timeline } from "./timeline.js";

/** An attempt that an agent holds. */
export interface HeldAttempt {
  readonly lease: LeaseMessage;
  readonly pass: Pass;
  readonly batch: BatchSpec;
  /** What is stored where it shall go on; undefined where nothing is, or from the beginning. */
  readonly from: StoredCheckpoint | undefined;
  /** Whether it has begun. */
  begun: boolean;
  stopping: boolean;
}

/** What an engine tells its agent. */
export interface EngineListener {
  onCondition(engine: SimulatedEngine): void;
  /** The attempt is in its last steps: the device may have another one. */
  onLastSteps(engine: SimulatedEngine): void;
  onCheckpoint(engine: SimulatedEngine, attempt: HeldAttempt, step: number): void;
  /** Null: all of it is done. */
  onEnd(engine: SimulatedEngine, attempt: HeldAttempt, failure: Failure | null): void;
}

/** A device asks for its next lease when so many steps are left. */
const lastSteps = 2;

/** An engine that is told to stop does so between two blocks. */
const stopMs = 100;

/** One that does not is killed. */
const killMs = 5_000;

export type Breakage = "fails" | "differs";

interface Run {
  readonly attempt: HeldAttempt;
  readonly course: Course;
  workMs: number;
  sinceMs: number;
  judged: boolean;
  asked: boolean;
  cutting: boolean;
  checkpointWorkMs: number;
  next: Planned | null;
}

export class SimulatedEngine {
  readonly spec: DeviceSpec;
  readonly #timeline: Timeline;
  readonly #timing: Timing;
  readonly #listener: EngineListener;
  #condition: DeviceCondition = "starting";
  #loadedModel = "";
  #run: Run | null = null;
  #slowness = 1;
  #hung = false;
  #broken: Breakage | null = null;
  /** Counts engine processes: what an earlier one had planned is void. */
  #life = 0;

  constructor(spec: DeviceSpec, timeline: Timeline, timing: Timing, listener: EngineListener) {
    this.spec = spec;
    this.#timeline = timeline;
    this.#timing = timing;
    this.#listener = listener;
  }

  get info(): DeviceInfo {
    const { name, kind, memoryBytes, dtype } = this.spec;
    const loadedModel = this.#loadedModel;
    return { name, kind, memoryBytes, dtype, condition: this.#condition, loadedModel };
  }

  get ready(): boolean {
    return this.#condition === "ready";
  }

  get broken(): Breakage | null {
    return this.#broken;
  }

  /** The attempt that it works on. */
  get attempt(): HeldAttempt | null {
    return this.#run?.attempt ?? null;
  }

  /** Whether it would begin another attempt soon. */
  get inLastSteps(): boolean {
    return this.#run?.asked === true;
  }

  /** Steps that the attempt has done. */
  get step(): number {
    if (this.#run === null) return 0;
    this.#advance(this.#run);
    return stepAfter(this.#run.course, this.#run.workMs);
  }

  /** Work that is left of the attempt, at full speed. */
  get remainingMs(): number {
    if (this.#run === null) return 0;
    this.#advance(this.#run);
    return workInAll(this.#run.course) - this.#run.workMs;
  }

  start(): void {
    const life = this.#life;
    this.#condition = "starting";
    this.#loadedModel = "";
    this.#timeline.after(this.#timing.engineStartMs, () => {
      if (life !== this.#life) return;
      this.#condition = "ready";
      this.#listener.onCondition(this);
    });
  }

  /** Its process is gone, and nobody tells. */
  kill(): void {
    this.#life += 1;
    if (this.#run?.next) this.#run.next.cancelled = true;
    this.#run = null;
    this.#hung = false;
  }

  /** Its process dies with whatever it worked on, and another one starts. */
  crash(failure: Failure): void {
    const attempt = this.attempt;
    this.kill();
    this.start();
    this.#listener.onCondition(this);
    if (attempt !== null) this.#listener.onEnd(this, attempt, failure);
  }

  begin(attempt: HeldAttempt): void {
    attempt.begun = true;
    const course = this.#courseOf(attempt);
    this.#loadedModel = attempt.batch.model;
    this.#run = {
      attempt,
      course,
      workMs: 0,
      sinceMs: this.#timeline.nowMs,
      judged: false,
      asked: false,
      cutting: false,
      checkpointWorkMs: 0,
      next: null,
    };
    this.#plan(this.#run);
  }

  /** Stops the attempt for this reason, told by onEnd once it has. */
  stop(failure: Failure): void {
    const run = this.#run;
    if (run === null || run.attempt.stopping) return;
    run.attempt.stopping = true;
    const life = this.#life;
    this.#timeline.after(this.#hung ? killMs : stopMs, () => {
      if (life !== this.#life || this.#run !== run) return;
      if (this.#hung) this.crash(failure);
      else this.#end(run, failure);
    });
  }

  /** Stores a checkpoint at the next refresh point and stops; goes on where there is none. */
  cut(): void {
    const run = this.#run;
    if (run === null || run.cutting) return;
    run.cutting = true;
    this.#advance(run);
    this.#plan(run);
  }

  hang(): void {
    this.#change(() => {
      this.#hung = this.#run !== null;
    });
  }

  /** Works `factor` times as long as it should. */
  slowDown(factor: number): void {
    this.#change(() => {
      this.#slowness = factor;
    });
  }

  setBroken(broken: Breakage | null): void {
    this.#broken = broken;
  }

  #courseOf({ lease, batch }: HeldAttempt): Course {
    const { loadMs, textEncodeMs, tailShare } = this.#timing;
    const { steps, flops, refreshPoints } = (lease.preview ? batch.preview : null) ?? batch;
    const denoiseMs = (flops / this.spec.flopsPerSecond) * 1000;
    return {
      prepareMs: (this.#loadedModel === batch.model ? 0 : loadMs) + textEncodeMs,
      stepMs: denoiseMs / steps,
      tailMs: denoiseMs * tailShare,
      fromStep: lease.resume?.step ?? 0,
      steps,
      refreshPoints,
    };
  }

  #change(change: () => void): void {
    if (this.#run !== null) this.#advance(this.#run);
    change();
    if (this.#run !== null) this.#plan(this.#run);
  }

  #advance(run: Run): void {
    const { nowMs } = this.#timeline;
    if (!this.#hung) run.workMs += (nowMs - run.sinceMs) / this.#slowness;
    run.sinceMs = nowMs;
  }

  /** Plans what comes next of the attempt: a verdict, the last steps, a checkpoint, the end. */
  #plan(run: Run): void {
    if (run.next !== null) run.next.cancelled = true;
    run.next = null;
    if (this.#hung) return;
    const { course } = run;
    const marks: [workMs: number, reach: () => void][] = [
      [workInAll(course), () => this.#end(run, null)],
    ];
    if (!run.judged) marks.push([course.prepareMs, () => this.#judge(run)]);
    if (!run.asked) marks.push([workAt(course, course.steps - lastSteps), () => this.#ask(run)]);
    const point = this.#checkpointAfter(run);
    if (point !== undefined) {
      marks.push([workAt(course, point), () => this.#checkpoint(run, point)]);
    }
    let first = marks[0];
    for (const mark of marks) if (first === undefined || mark[0] < first[0]) first = mark;
    if (first === undefined) return;
    const [workMs, reach] = first;
    const life = this.#life;
    run.next = this.#timeline.after((workMs - run.workMs) * this.#slowness, () => {
      if (life !== this.#life || this.#run !== run) return;
      run.next = null;
      run.workMs = Math.max(run.workMs, workMs);
      run.sinceMs = this.#timeline.nowMs;
      reach();
    });
  }

  #checkpointAfter(run: Run): number | undefined {
    const notBeforeMs = run.cutting ? 0 : run.checkpointWorkMs + this.#timing.checkpointPeriodMs;
    return nextRefreshPoint(run.course, stepAfter(run.course, run.workMs), notBeforeMs);
  }

  #judge(run: Run): void {
    run.judged = true;
    const failure = this.#failureOf(run.attempt);
    if (failure === null) this.#plan(run);
    else if (failure.code === "ENGINE_CRASH") this.crash(failure);
    else this.#end(run, failure);
  }

  /** What the engine finds wrong once the attempt's input and weights are there. */
  #failureOf({ batch, pass, lease, from }: HeldAttempt): Failure | null {
    if (batch.badClips.includes(pass.clip)) {
      return { code: "INVALID_ARGUMENT", message: "the initial latent has another shape" };
    }
    if (batch.peakBytes > this.spec.memoryBytes) {
      const message = `${batch.peakBytes} bytes are needed, ${this.spec.memoryBytes} are there`;
      return { code: "OUT_OF_MEMORY", message };
    }
    if (lease.resume !== null && (from === undefined || from.damaged)) {
      return { code: "INVALID_CHECKPOINT", message: "the checkpoint cannot be read" };
    }
    if (this.#broken === null) return null;
    return { code: "ENGINE_CRASH", message: `${this.spec.name} is broken` };
  }

  #ask(run: Run): void {
    run.asked = true;
    this.#plan(run);
    this.#listener.onLastSteps(this);
  }

  #checkpoint(run: Run, step: number): void {
    run.checkpointWorkMs = run.workMs;
    this.#listener.onCheckpoint(this, run.attempt, step);
    if (run.cutting) this.#end(run, { code: "INTERRUPTED", message: `cut at step ${step}` });
    else this.#plan(run);
  }

  #end(run: Run, failure: Failure | null): void {
    if (run.next !== null) run.next.cancelled = true;
    this.#run = null;
    this.#listener.onEnd(this, run.attempt, failure);
  }
}
