// What is asked of the core, and what it answers: events for the log, and effects that are carried
// out once the events are in it.

import type {
  Artifact,
  AttemptRef,
  BatchAccepted,
  Checkpoint,
  ClipRanges,
  Failure,
  FarmEvent,
  RenderTotals,
} from "./events.js";
import type { AttemptReport, DeviceInfo, WorkerHello } from "./liveness.js";

/** A submission whose prompts are stored and whose plan is made. */
export type Submission = Omit<BatchAccepted, "type" | "at">;

export type Command =
  | { readonly type: "submit"; readonly submission: Submission }
  | { readonly type: "cancel"; readonly batch: string }
  | { readonly type: "pause"; readonly batch: string; readonly cutRunning: boolean }
  | { readonly type: "resume"; readonly batch: string }
  | { readonly type: "set_priority"; readonly batch: string; readonly priority: number }
  | { readonly type: "move"; readonly batch: string; readonly place: "first" | "last" }
  /** No ranges: retry every clip that failed, approve every clip that waits for a verdict. */
  | { readonly type: "retry"; readonly batch: string; readonly clips: ClipRanges }
  | { readonly type: "skip"; readonly batch: string; readonly clips: ClipRanges }
  | { readonly type: "promote"; readonly batch: string; readonly clips: ClipRanges }
  | { readonly type: "approve"; readonly batch: string; readonly clips: ClipRanges }
  | { readonly type: "reject"; readonly batch: string; readonly clips: ClipRanges }
  /** An operator's word: the worker hands back what it has and gets nothing more. */
  | { readonly type: "drain_worker"; readonly worker: string; readonly undo: boolean }
  | { readonly type: "release_device"; readonly worker: string; readonly device: string }
  | { readonly type: "hello"; readonly hello: WorkerHello }
  | { readonly type: "gone"; readonly worker: string }
  | {
      readonly type: "progress";
      readonly worker: string;
      readonly attempts: readonly AttemptReport[];
      /** They want a lease: idle, or in the last steps of the attempt they work on. */
      readonly idleDevices: readonly string[];
      /** The agent is about to stop: it takes no lease. */
      readonly draining: boolean;
    }
  | { readonly type: "device"; readonly worker: string; readonly device: DeviceInfo }
  | {
      readonly type: "completed";
      readonly worker: string;
      readonly ref: AttemptRef;
      readonly artifacts: readonly Artifact[];
      readonly totals: RenderTotals;
    }
  | {
      readonly type: "failed";
      readonly worker: string;
      readonly ref: AttemptRef;
      readonly failure: Failure;
      /** The engine process is gone or idle again. */
      readonly childDead: boolean;
    }
  | {
      readonly type: "checkpoint";
      readonly worker: string;
      readonly ref: AttemptRef;
      readonly checkpoint: Checkpoint;
    }
  | {
      readonly type: "canary_result";
      readonly worker: string;
      readonly device: string;
      readonly id: string;
      /** Of the rendered file; "" when it failed. */
      readonly sha256: string;
      readonly failure: Failure | null;
    }
  /**
   * Time has passed: leases expire, attempts that stand still fail, clips that nobody may run fail,
   * quarantined devices are tried, attempts are cut for what comes first.
   */
  | { readonly type: "expire" }
  /** Free devices get leases. */
  | { readonly type: "place" };

/**
 * Done after the decision's events are in the log; nothing is lost when a leader dies before it is
 * done.
 */
export type Effect =
  | {
      readonly type: "stop_attempt";
      readonly worker: string;
      readonly ref: AttemptRef;
      readonly reason: "cancelled" | "superseded" | "stuck" | "skipped" | "revoked";
    }
  /** It shall store a checkpoint at its next refresh point and hand back. */
  | {
      readonly type: "cut_attempt";
      readonly worker: string;
      readonly ref: AttemptRef;
      readonly reason: "preempted" | "paused" | "drained";
    }
  /** Something small shall be rendered on a quarantined device. */
  | {
      readonly type: "try_device";
      readonly worker: string;
      readonly device: string;
      readonly id: string;
      readonly model: string;
    }
  /** A report of an attempt that no longer held its clip was ignored. */
  | {
      readonly type: "superseded";
      readonly ref: AttemptRef;
      readonly report: "completed" | "failed";
      /** Its files are in nobody's way: false for a repeated report of the published attempt. */
      readonly discard: boolean;
    };

/** Why a command was not accepted; codes stand in common/errors.ts. */
export interface Refusal {
  readonly code:
    | "ALREADY_EXISTS"
    | "NOT_FOUND"
    | "RESOURCE_EXHAUSTED"
    | "INVALID_ARGUMENT"
    | "FAILED_PRECONDITION";
  readonly message: string;
}

export interface Decision {
  readonly events: readonly FarmEvent[];
  readonly effects: readonly Effect[];
  readonly refusal: Refusal | null;
  /** The batch that a submission made or repeats, or that a verb was about. */
  readonly batch: string | null;
  /** How many clips a verb has changed. */
  readonly clipsChanged: number;
}

export const nothing: Decision = {
  events: [],
  effects: [],
  refusal: null,
  batch: null,
  clipsChanged: 0,
};
