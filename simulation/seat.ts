// What an agent keeps of each of its devices, and how it puts into words what becomes of attempts.

import type { Command } from "../coordinator/core/commands.js";
import type { AttemptRef, Failure, RenderTotals } from "../coordinator/core/events.js";
import type { AttemptReport } from "../coordinator/core/liveness.js";
import type { HeldAttempt, SimulatedEngine } from "./engine.js";
import { expectedSha256, passName, resumedSha256 } from "./store.js";

/** An attempt's end. */
export type Report = Extract<Command, { readonly type: "completed" | "failed" }>;
export type CheckpointReport = Extract<Command, { readonly type: "checkpoint" }>;

export interface KeptReport {
  readonly report: Report;
  /** The attempt's newest, which may have been lost with the report. */
  readonly checkpoint: CheckpointReport | undefined;
}

/** A device of an agent, and what the agent has to do with it. */
export interface Seat {
  readonly engine: SimulatedEngine;
  /** Given to the engine, and not yet known to have ended. */
  running: HeldAttempt | null;
  /** Leased ahead. */
  queued: HeldAttempt | null;
  /** Not certain to be heard, and so said again in each Hello. */
  reports: readonly KeptReport[];
  /** A canary to be rendered, or being rendered. */
  canary: string | null;
  damagedCheckpoints: number;
}

export function newSeat(engine: SimulatedEngine): Seat {
  return {
    engine,
    running: null,
    queued: null,
    reports: [],
    canary: null,
    damagedCheckpoints: 0,
  };
}

export function reportOf(attempt: HeldAttempt, engine: SimulatedEngine): AttemptReport {
  const { ref, resume } = attempt.lease;
  const { batch, clip, attempt: number } = ref;
  const steps = stepsOf(attempt);
  const step = engine.attempt === attempt ? engine.step : (resume?.step ?? 0);
  const stage = !attempt.begun ? "" : step === steps ? "decode" : "denoise";
  return { batch, clip, attempt: number, stage, step, steps, totals: null };
}

export function interrupted(message: string): Failure {
  return { code: "INTERRUPTED", message };
}

export function isSame(a: AttemptRef, b: AttemptRef): boolean {
  return a.clip === b.clip && a.attempt === b.attempt && a.batch === b.batch;
}

export function nameOf({ batch, clip, attempt }: AttemptRef): string {
  return `${batch}/${clip}/${attempt}`;
}

export function stepsOf({ lease, batch }: HeldAttempt): number {
  return (lease.preview ? batch.preview : null)?.steps ?? batch.steps;
}

export function totalsOf(attempt: HeldAttempt, step: number): RenderTotals {
  const { lease, batch } = attempt;
  const flops = ((lease.preview ? batch.preview : null) ?? batch).flops;
  const done = (flops * step) / stepsOf(attempt);
  return {
    tokensComputed: step,
    tokensReused: 0,
    flops: done,
    flopsNone: done,
    textEncodeSeconds: 0,
    denoiseSeconds: 0,
    decodeSeconds: 0,
    encodeSeconds: 0,
    uploadSeconds: 0,
  };
}

/** What the agent says of an attempt that is done: its file has the bits that it came to. */
export function completedReport(worker: string, kind: string, attempt: HeldAttempt): Report {
  const { pass, from, lease } = attempt;
  const { ref, resume } = lease;
  const sha256 =
    resume === null || from === undefined
      ? expectedSha256(pass, kind)
      : resumedSha256(pass, kind, from, resume.step);
  const key = `${passName(pass)}/${ref.attempt}/clip.mp4`;
  const totals = totalsOf(attempt, stepsOf(attempt));
  const artifacts = [{ key, sha256, sizeBytes: 1 }];
  return { type: "completed", worker, ref, artifacts, totals };
}
