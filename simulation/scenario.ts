// What a world is made of and what happens to it, as plain data: the agents and their devices, and
// a list of incidents with their times. A generator writes one from a seed, a user from a file; the
// shrinker leaves parts out. Nothing else decides how a run goes.

import type { Rules } from "../coordinator/core/rules.js";

export interface DeviceSpec {
  /** "cpu" or "cuda:N". */
  readonly name: string;
  readonly kind: string;
  readonly memoryBytes: number;
  readonly dtype: string;
  /** FLOP/s that it reaches while it denoises. */
  readonly flopsPerSecond: number;
}

export interface AgentSpec {
  readonly id: string;
  readonly devices: readonly DeviceSpec[];
  /** Names of the models whose folders it has. */
  readonly models: readonly string[];
  readonly joinsAtMs: number;
}

export interface BatchSpec {
  readonly tenant: string;
  readonly priority: number;
  readonly model: string;
  /** "cpu", "cuda" or "" = any. */
  readonly device: string;
  readonly clips: number;
  readonly segments: number;
  readonly steps: number;
  /** Of one segment. */
  readonly flops: number;
  /** What a device needs at least. */
  readonly peakBytes: number;
  /** What its plan says of that. */
  readonly plannedBytes: number;
  readonly refreshPoints: readonly number[];
  readonly preview: {
    readonly steps: number;
    readonly flops: number;
    readonly refreshPoints: readonly number[];
  } | null;
  /** Somebody approves a preview so long after it is done; null = only an incident does. */
  readonly approveAfterMs: number | null;
  /** From the submission on; null = none. */
  readonly deadlineMs: number | null;
  /** Clips whose input no engine takes. */
  readonly badClips: readonly number[];
}

/** An incident's `batch` and `device` count from 0 and wrap around, so that any number fits. */
export type Incident = { readonly atMs: number } & (
  | { readonly do: "submit"; readonly batch: BatchSpec }
  | { readonly do: "cancel" | "pause" | "pause_cut" | "resume"; readonly batch: number }
  | { readonly do: "set_priority"; readonly batch: number; readonly priority: number }
  | { readonly do: "move"; readonly batch: number; readonly place: "first" | "last" }
  | {
      readonly do: "retry" | "skip" | "promote" | "approve" | "reject";
      readonly batch: number;
      readonly first: number;
      readonly count: number;
    }
  | { readonly do: "drain_worker" | "undrain_worker"; readonly agent: number }
  | { readonly do: "release_device"; readonly agent: number; readonly device: number }
  | { readonly do: "crash_agent"; readonly agent: number; readonly forMs: number }
  /** SIGTERM: the agent finishes or cuts within its grace, goes, and is back after the time. */
  | { readonly do: "stop_agent"; readonly agent: number; readonly forMs: number }
  | { readonly do: "freeze_agent"; readonly agent: number; readonly forMs: number }
  | { readonly do: "crash_engine"; readonly agent: number; readonly device: number }
  /** No step is done any more until its process is killed. */
  | { readonly do: "hang_engine"; readonly agent: number; readonly device: number }
  | {
      readonly do: "slow_device";
      readonly agent: number;
      readonly device: number;
      readonly factor: number;
      readonly forMs: number;
    }
  /** Every attempt fails, and so does every canary, or renders other bits. */
  | {
      readonly do: "break_device";
      readonly agent: number;
      readonly device: number;
      readonly canary: "fails" | "differs";
      readonly forMs: number;
    }
  /** What the agent stores next for later attempts cannot be read. */
  | { readonly do: "damage_checkpoints"; readonly agent: number; readonly count: number }
  /** The agent can write nothing to the artifact store. */
  | { readonly do: "break_store"; readonly agent: number; readonly forMs: number }
  | { readonly do: "reset_link"; readonly agent: number }
  | {
      readonly do: "partition";
      readonly agent: number;
      readonly way: "both" | "up" | "down";
      readonly forMs: number;
    }
  /** Says its newest reports again, or only an older one. */
  | { readonly do: "repeat_reports"; readonly agent: number; readonly count: number }
  | { readonly do: "crash_coordinator"; readonly coordinator: number; readonly forMs: number }
  /** Whoever leads then. */
  | { readonly do: "crash_leader"; readonly forMs: number }
  | { readonly do: "freeze_coordinator"; readonly coordinator: number; readonly forMs: number }
  | { readonly do: "cut_off_coordinator"; readonly coordinator: number; readonly forMs: number }
  /** The next append of whoever leads: written or not, its writer is told nothing in time. */
  | { readonly do: "lose_append"; readonly written: boolean }
  /** The wall clock of the coordinator's machine jumps. */
  | { readonly do: "step_clock"; readonly coordinator: number; readonly byMs: number }
);

export interface Timing {
  /** One way between an agent and a coordinator: this much and up to as much again. */
  readonly linkMs: number;
  /** Mean of an append's two ways and its fsync. */
  readonly appendMs: number;
  readonly progressPeriodMs: number;
  readonly checkpointPeriodMs: number;
  /** A model's weights from disk into a device. */
  readonly loadMs: number;
  readonly textEncodeMs: number;
  /** Decode, H.264 and upload, as a share of the denoising time. */
  readonly tailShare: number;
  /** From an engine's start until it takes attempts. */
  readonly engineStartMs: number;
  /** A stopping agent's grace. */
  readonly graceMs: number;
}

export const defaultTiming: Timing = {
  linkMs: 1,
  appendMs: 1,
  progressPeriodMs: 1_000,
  checkpointPeriodMs: 10_000,
  loadMs: 3_000,
  textEncodeMs: 200,
  tailShare: 0.1,
  engineStartMs: 2_000,
  graceMs: 10_000,
};

export interface Scenario {
  readonly seed: number | string;
  readonly coordinators: number;
  readonly agents: readonly AgentSpec[];
  readonly incidents: readonly Incident[];
  readonly rules: Rules;
  readonly timing: Timing;
  /** From then on nobody withholds a verdict or a worker; null = nobody looks after them. */
  readonly quietAtMs: number | null;
  /** Every clip must have ended by then. */
  readonly endsByMs: number;
}
