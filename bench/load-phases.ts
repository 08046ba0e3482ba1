// The loads under which a queue is measured: as much as it takes, half of that, and half of what a
// farm of a thousand devices is meant to take, which is the same for whatever is compared.
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
  readonly halfOfAim: Phase;
}

export interface PhaseOptions {
  readonly workers: number;
  /** Of each measurement. */
  readonly seconds: number;
  /** Runs beside the last load. */
  readonly during?: () => Promise<void>;
}

const warmUpMs = 3_000;

/** Five times what 1,000 devices need whose clips take 5 s. */
const jobsPerSecondAim = 1_000;

/** Enough jobs must wait for all of it. */
export async function measurePhases(load: LoadProcesses, options: PhaseOptions): Promise<Phases> {
  const { workers, seconds, during } = options;
  const slowTo = (jobsPerSecond: number): void => {
    load.tell({ type: "work", holdMs: (workers / jobsPerSecond) * 1_000 });
  };
  load.tell({ type: "work", holdMs: 0 });
  const saturated = await measure(load, seconds);
  slowTo(saturated.jobsPerSecond / 2);
  const half = await measure(load, seconds);
  slowTo(jobsPerSecondAim / 2);
  const [halfOfAim] = await Promise.all([measure(load, seconds), during?.()]);
  load.tell({ type: "rest" });
  return { saturated, half, halfOfAim };
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
