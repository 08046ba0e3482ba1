// What is asked of the core, and what it answers: events for the log, and effects that are carried
// out once the events are in it.

import type {
  Artifact,
  AttemptRef,
  BatchAccepted,
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
  | { readonly type: "hello"; readonly hello: WorkerHello }
  | { readonly type: "gone"; readonly worker: string }
  | {
      readonly type: "progress";
      readonly worker: string;
      readonly attempts: readonly AttemptReport[];
      readonly idleDevices: readonly string[];
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
  /** Time has passed: leases expire, clips that nobody may run fail. */
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
      readonly reason: "cancelled" | "superseded";
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
  readonly code: "ALREADY_EXISTS" | "NOT_FOUND" | "RESOURCE_EXHAUSTED" | "INVALID_ARGUMENT";
  readonly message: string;
}

export interface Decision {
  readonly events: readonly FarmEvent[];
  readonly effects: readonly Effect[];
  readonly refusal: Refusal | null;
  /** The batch that a submission made or repeats. */
  readonly batch: string | null;
}

export const nothing: Decision = { events: [], effects: [], refusal: null, batch: null };
