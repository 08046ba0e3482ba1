// The two loads under which a queue is measured: as much as it takes, and half of that.
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadProcesses } from "./load-processes.js";
import { type Quantiles, quantiles } from "./quantiles.js";

export interface Phase {
  readonly jobsPerSecond: number;
  /** From a worker that is free to its next job. */
  readonly wait: Quantiles;
}

export interface Phases {
  readonly saturated: Phase;
  readonly half: Phase;
}

export interface PhaseOptions {
  readonly workers: number;
  /** Of each measurement. */
  readonly seconds: number;
  /** Runs while half the load does. */
  readonly during?: () => Promise<void>;
}

const warmUpMs = 3_000;

/** Enough jobs must wait for both phases. */
export async function measurePhases(load: LoadProcesses, options: PhaseOptions): Promise<Phases> {
  const { workers, seconds, during } = options;
  load.tell({ type: "work", holdMs: 0 });
  const saturated = await measure(load, seconds);
  load.tell({ type: "work", holdMs: (workers / (saturated.jobsPerSecond / 2)) * 1_000 });
  const [half] = await Promise.all([measure(load, seconds), during?.()]);
  load.tell({ type: "rest" });
  return { saturated, half };
}

async function measure(load: LoadProcesses, seconds: number): Promise<Phase> {
  await sleep(warmUpMs);
  load.tell({ type: "reset" });
  const startMs = performance.now();
  await sleep(seconds * 1_000);
  const waitsMs = await load.collect();
  const measuredSeconds = (performance.now() - startMs) / 1_000;
  const jobsPerSecond = Math.round(waitsMs.length / measuredSeconds);
  return { jobsPerSecond, wait: quantiles(waitsMs) };
}
