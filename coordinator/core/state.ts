// What the log folds into. A clip that no device has touched needs no record: the queue of a batch
// is its count, the index of the next fresh clip, and the few clips that wait again. Everything
// here is changed by apply.ts alone; everyone else reads.

import type {
  BatchAccepted,
  Checkpoint,
  Failure,
  PlanFigures,
  Preview,
  RenderSpec,
} from "./events.js";
import type { Publication } from "./publication.js";

export type { Publication } from "./publication.js";

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
  readonly preview: boolean;
  readonly segment: number;
  readonly resumeStep: number;
  /** What its tenant was charged, and how. */
  readonly deviceSeconds: number;
  readonly weight: number;
  readonly chargedTier: number;
  readonly grantedAt: number;
  /** What it may be cut for: a segment of a better tier. */
  tier: number;
  /** The device is its own from then on; null while an earlier attempt has it. */
  since: number | null;
  /** The engine has done its first step. */
  started: boolean;
}

export interface StoredCheckpoint extends Checkpoint {
  /** Of the device that made it: only there it gives the same bits. */
  readonly kind: string;
}

export type ClipEnd = "failed" | "skipped" | "rejected";

/** A clip that was leased at least once, or that a verb has touched. */
export interface Clip {
  readonly index: number;
  /** Newest attempt, 0 = none. */
  attempt: number;
  /** Where the newest attempt was made: its prompt may still be encoded there. */
  worker: string;
  lease: Lease | null;
  /** It works on its preview, or waits to. */
  previewing: boolean;
  preview: Publication | null;
  awaitingApproval: boolean;
  /** Its preview was found good. */
  approved: boolean;
  /** The one in work, or next. */
  segment: number;
  /** Segments before it. */
  segmentsDone: readonly Publication[];
  /** Of the preview or segment in work. */
  checkpoint: StoredCheckpoint | null;
  publication: Publication | null;
  /** How it ended without a publication. */
  end: ClipEnd | null;
  /** Of the newest failed attempt, or of the clip. */
  failure: Failure | null;
  /** Other than those of reading and writing. */
  failures: number;
  failuresOfIo: number;
  interruptions: number;
  outOfMemory: boolean;
  /** Waiting clips are leased again from this time on. */
  retryAt: number;
  /** It waits because an attempt failed. */
  backingOff: boolean;
  memoryBytesAbove: number;
  /** Workers on which an attempt failed. */
  failedOn: readonly string[];
  /** Log sequence of the newest change. */
  changedAt: number;
}

export interface Batch {
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
  priority: number;
  readonly spec: RenderSpec;
  readonly weightsDigest: string;
  readonly promptsKey: string;
  readonly segments: number;
  readonly plan: PlanFigures;
  readonly preview: Preview | null;
  readonly deadlineAt: number | null;
  readonly submittedAt: number;
  readonly clipsTotal: number;
  /** Number of the batch in the pool, in the order of submission. */
  readonly serial: number;
  /** Place among the batches of its tenant and tier: 0, less when moved first, more when last. */
  rank: number;
  /** It was given no device since then, though it may have had nothing to render. */
  waitingSince: number;
  /** No clip before this one is fresh, which means: has no record. */
  nextFresh: number;
  clipsFresh: number;
  readonly clips: Map<number, Clip>;
  /** Indices of clips with a record that are to be leased, in the order in which they came. */
  readonly waiting: Set<number>;
  /** Those of them that go first, in this order. */
  promoted: Set<number>;
  /** Indices of clips with a live lease. */
  readonly leased: Set<number>;
  clipsPublished: number;
  clipsFailed: number;
  /** Skipped or rejected. */
  clipsSkipped: number;
  clipsAwaitingApproval: number;
  /** Of all clips that have not ended: previews and segments still to be rendered. */
  previewsLeft: number;
  segmentsLeft: number;
  /** A device was given a clip of it. */
  begun: boolean;
  paused: boolean;
  cancelled: boolean;
  endedAt: number | null;
  readonly failuresByWorker: Map<string, number>;
  lastFailure: Failure | null;
  /** Log sequence of the newest change of every clip at once: accepted or cancelled. */
  changedAt: number;
}

/** What a tenant has in the pool, and what it used. */
export interface Tenant {
  batchesUnfinished: number;
  clipsQueued: number;
  /** Live leases. */
  leases: number;
  /** As charged: estimates of what runs, measured for what has ended. */
  deviceSecondsUsed: number;
  /** Virtual time up to which it was served, by kind of device, then tier. */
  readonly servedUntil: Map<string, number[]>;
}

/** What speaks against a device; a render that succeeds clears it. */
export interface DeviceTrouble {
  readonly kind: string;
  failuresInRow: number;
  quarantine: { readonly at: number; readonly failure: Failure } | null;
}

export interface Submission {
  readonly batch: string;
  readonly bodySha256: string;
  readonly at: number;
}

export interface State {
  term: number;
  /** Log sequence of the newest event. */
  sequence: number;
  /** Time of the newest event. */
  at: number;
  batchesAccepted: number;
  /** Smallest and largest rank ever given. */
  rankFirst: number;
  rankLast: number;
  /** By id, oldest first. */
  readonly batches: Map<string, Batch>;
  readonly unfinished: Map<string, Batch>;
  /** In the order in which they ended. */
  readonly ended: Map<string, Batch>;
  /** Of all unfinished batches, whatever has become of them. */
  clipsHeld: number;
  /** Of all batches in `ended`. */
  clipsEnded: number;
  clipsQueued: number;
  /** Live leases by clipKey, and by worker. */
  readonly leases: Map<string, Lease>;
  readonly leasesByWorker: Map<string, Set<Lease>>;
  /** By name. */
  readonly tenants: Map<string, Tenant>;
  /** Virtual time of each kind of device, by tier: where the newest lease began. */
  readonly virtualTimes: Map<string, number[]>;
  /** Submissions by idempotency key, oldest first. */
  readonly submissions: Map<string, Submission>;
  /** Learnt speed of each kind of device, FLOP/s. */
  readonly speeds: Map<string, number>;
  /** The same with one model, by modelSpeedKey. */
  readonly modelSpeeds: Map<string, number>;
  /** By deviceKey. */
  readonly troubles: Map<string, DeviceTrouble>;
  /** SHA-256 of the canary's file by canaryKey: the first one that was right. */
  readonly canaries: Map<string, string>;
  /** Workers that an operator has drained. */
  readonly drained: Set<string>;
}

export function emptyState(): State {
  return {
    term: 0,
    sequence: 0,
    at: 0,
    batchesAccepted: 0,
    rankFirst: 0,
    rankLast: 0,
    batches: new Map(),
    unfinished: new Map(),
    ended: new Map(),
    clipsHeld: 0,
    clipsEnded: 0,
    clipsQueued: 0,
    leases: new Map(),
    leasesByWorker: new Map(),
    tenants: new Map(),
    virtualTimes: new Map(),
    submissions: new Map(),
    speeds: new Map(),
    modelSpeeds: new Map(),
    troubles: new Map(),
    canaries: new Map(),
    drained: new Set(),
  };
}

export function newBatch(event: BatchAccepted, serial: number, sequence: number): Batch {
  return {
    id: event.batch,
    name: event.name,
    tenant: event.tenant,
    priority: event.priority,
    spec: event.spec,
    weightsDigest: event.weightsDigest,
    promptsKey: event.promptsKey,
    segments: event.segments,
    plan: event.plan,
    preview: event.preview,
    deadlineAt: event.deadlineAt,
    submittedAt: event.at,
    clipsTotal: event.clips,
    serial,
    rank: 0,
    waitingSince: event.at,
    nextFresh: 0,
    clipsFresh: event.clips,
    clips: new Map(),
    waiting: new Set(),
    promoted: new Set(),
    leased: new Set(),
    clipsPublished: 0,
    clipsFailed: 0,
    clipsSkipped: 0,
    clipsAwaitingApproval: 0,
    previewsLeft: event.preview ? event.clips : 0,
    segmentsLeft: event.clips * event.segments,
    begun: false,
    paused: false,
    cancelled: false,
    endedAt: null,
    failuresByWorker: new Map(),
    lastFailure: null,
    changedAt: sequence,
  };
}

/** Shared by all that have none, since most clips never have any. */
export const nowhere: readonly never[] = [];

export function newClip(batch: Batch, index: number): Clip {
  return {
    index,
    attempt: 0,
    worker: "",
    lease: null,
    previewing: batch.preview !== null,
    preview: null,
    awaitingApproval: false,
    approved: false,
    segment: 0,
    segmentsDone: nowhere,
    checkpoint: null,
    publication: null,
    end: null,
    failure: null,
    failures: 0,
    failuresOfIo: 0,
    interruptions: 0,
    outOfMemory: false,
    retryAt: 0,
    backingOff: false,
    memoryBytesAbove: 0,
    failedOn: nowhere,
    changedAt: 0,
  };
}

/** Name of a clip within the leader's memory. */
export function clipKey(batch: string, clip: number): string {
  return `${batch}/${clip}`;
}

/** Name of a device within the pool; a device's own name has no "/". */
export function deviceKey(worker: string, device: string): string {
  return `${worker}/${device}`;
}

export function modelSpeedKey(kind: string, model: string): string {
  return `${kind}\n${model}`;
}

/** What a canary's file depends on. */
export function canaryKey(kind: string, weightsDigest: string): string {
  return `${kind}\n${weightsDigest}`;
}

/** The lease that this attempt holds, if it is the one that holds the clip. */
export function heldLease(
  state: State,
  ref: { readonly batch: string; readonly clip: number; readonly attempt: number },
): Lease | undefined {
  const lease = state.batches.get(ref.batch)?.clips.get(ref.clip)?.lease;
  return lease?.attempt === ref.attempt ? lease : undefined;
}

/** Live leases of a worker; of one of its devices, if it is named. */
export function leasesOn(state: State, worker: string, device?: string): readonly Lease[] {
  const leases = [...(state.leasesByWorker.get(worker) ?? [])];
  return device === undefined ? leases : leases.filter((lease) => lease.device === device);
}

export function isQuarantined(state: State, worker: string, device: string): boolean {
  if (state.troubles.size === 0) return false;
  return (state.troubles.get(deviceKey(worker, device))?.quarantine ?? null) !== null;
}

/** Clips that wait for a device. */
export function clipsQueued(batch: Batch): number {
  return batch.endedAt === null ? batch.clipsFresh + batch.waiting.size : 0;
}

/** Clips that had not ended when the batch was cancelled. */
export function clipsCancelled(batch: Batch): number {
  if (!batch.cancelled) return 0;
  return batch.clipsTotal - batch.clipsPublished - batch.clipsFailed - batch.clipsSkipped;
}

export { type BatchPhase, batchPhaseOf, type ClipPhase, phaseOf } from "./phases.js";
