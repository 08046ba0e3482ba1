// What the log folds into. A clip that no device has touched needs no record: the queue of a batch
// is its count, the index of the next fresh clip, and the few clips that wait again. The maps are
// changed by apply.ts alone; everyone else reads.

import type {
  Artifact,
  BatchAccepted,
  Failure,
  PlanFigures,
  RenderSpec,
  RenderTotals,
} from "./events.js";

export const tiers = 5;
export const defaultPriority = 2;

/** An attempt that may be published. */
export interface Lease {
  readonly batch: string;
  readonly clip: number;
  readonly attempt: number;
  readonly worker: string;
  readonly device: string;
  readonly kind: string;
  readonly grantedAt: number;
  /** The engine has done its first step. */
  started: boolean;
}

export interface Publication {
  readonly attempt: number;
  readonly worker: string;
  readonly device: string;
  /** Lease to publication. */
  readonly seconds: number;
  readonly artifacts: readonly Artifact[];
  readonly totals: RenderTotals;
}

/** A clip that was leased at least once, or has failed. */
export interface Clip {
  readonly index: number;
  /** Newest attempt, 0 = none. */
  attempt: number;
  lease: Lease | null;
  publication: Publication | null;
  failed: boolean;
  /** Of the newest failed attempt, or of the clip. */
  failure: Failure | null;
  failures: number;
  interruptions: number;
  outOfMemory: boolean;
  /** Waiting clips are leased again from this time on. */
  retryAt: number;
  /** It waits because an attempt failed. */
  backingOff: boolean;
  memoryBytesAbove: number;
  /** Workers on which an attempt failed. */
  failedOn: string[];
  /** Log sequence of the newest change. */
  changedAt: number;
}

export interface Batch {
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
  readonly priority: number;
  readonly spec: RenderSpec;
  readonly weightsDigest: string;
  readonly promptsKey: string;
  readonly plan: PlanFigures;
  readonly submittedAt: number;
  readonly clipsTotal: number;
  /** Clips from here on were never leased. */
  nextFresh: number;
  readonly clips: Map<number, Clip>;
  /** Indices of clips to lease again, in the order in which they came back. */
  readonly waiting: Set<number>;
  clipsLeased: number;
  clipsPublished: number;
  clipsFailed: number;
  cancelled: boolean;
  endedAt: number | null;
  readonly failuresByWorker: Map<string, number>;
  lastFailure: Failure | null;
  /** Log sequence of the newest change of the batch as a whole: accepted or cancelled. */
  changedAt: number;
}

export interface State {
  term: number;
  /** Log sequence of the newest event. */
  sequence: number;
  /** Time of the newest event. */
  at: number;
  /** By id, oldest first. */
  readonly batches: Map<string, Batch>;
  /** Unfinished batches of each tier, oldest first. */
  readonly queues: readonly Map<string, Batch>[];
  /** Live leases by clipKey. */
  readonly leases: Map<string, Lease>;
  /** Submissions by idempotency key, oldest first. */
  readonly submissions: Map<string, Submission>;
  /** Learnt speed of each kind of device, FLOP/s from lease to publication. */
  readonly speeds: Map<string, number>;
}

export interface Submission {
  readonly batch: string;
  readonly bodySha256: string;
  readonly at: number;
}

export function emptyState(): State {
  return {
    term: 0,
    sequence: 0,
    at: 0,
    batches: new Map(),
    queues: Array.from({ length: tiers }, () => new Map<string, Batch>()),
    leases: new Map(),
    submissions: new Map(),
    speeds: new Map(),
  };
}

export function newBatch(event: BatchAccepted, sequence: number): Batch {
  return {
    id: event.batch,
    name: event.name,
    tenant: event.tenant,
    priority: event.priority,
    spec: event.spec,
    weightsDigest: event.weightsDigest,
    promptsKey: event.promptsKey,
    plan: event.plan,
    submittedAt: event.at,
    clipsTotal: event.clips,
    nextFresh: 0,
    clips: new Map(),
    waiting: new Set(),
    clipsLeased: 0,
    clipsPublished: 0,
    clipsFailed: 0,
    cancelled: false,
    endedAt: null,
    failuresByWorker: new Map(),
    lastFailure: null,
    changedAt: sequence,
  };
}

export function newClip(index: number): Clip {
  return {
    index,
    attempt: 0,
    lease: null,
    publication: null,
    failed: false,
    failure: null,
    failures: 0,
    interruptions: 0,
    outOfMemory: false,
    retryAt: 0,
    backingOff: false,
    memoryBytesAbove: 0,
    failedOn: [],
    changedAt: 0,
  };
}

/** Name of a clip within the leader's memory. */
export function clipKey(batch: string, clip: number): string {
  return `${batch}/${clip}`;
}

export type ClipPhase =
  | "queued"
  | "leased"
  | "running"
  | "retry_wait"
  | "published"
  | "failed"
  | "cancelled";

/** Where a clip stands; undefined stands for one that no device has touched. */
export function phaseOf(batch: Batch, clip: Clip | undefined): ClipPhase {
  if (clip?.publication) return "published";
  if (clip?.failed) return "failed";
  if (batch.cancelled) return "cancelled";
  if (clip?.lease) return clip.lease.started ? "running" : "leased";
  return clip?.backingOff ? "retry_wait" : "queued";
}

export type BatchPhase = "queued" | "active" | "succeeded" | "failed" | "cancelled";

export function batchPhaseOf(batch: Batch): BatchPhase {
  if (batch.cancelled) return "cancelled";
  if (batch.endedAt !== null) return batch.clipsFailed > 0 ? "failed" : "succeeded";
  return batch.clips.size > 0 ? "active" : "queued";
}

/** Clips that were neither published nor failed when the batch was cancelled. */
export function clipsCancelled(batch: Batch): number {
  return batch.cancelled ? batch.clipsTotal - batch.clipsPublished - batch.clipsFailed : 0;
}

/** Clips that wait for a device. */
export function clipsQueued(batch: Batch): number {
  if (batch.endedAt !== null) return 0;
  return batch.clipsTotal - batch.nextFresh + batch.waiting.size;
}

/** The lease that this attempt holds, if it is the one that holds the clip. */
export function heldLease(
  state: State,
  ref: { readonly batch: string; readonly clip: number; readonly attempt: number },
): Lease | undefined {
  const lease = state.leases.get(clipKey(ref.batch, ref.clip));
  return lease?.attempt === ref.attempt ? lease : undefined;
}
