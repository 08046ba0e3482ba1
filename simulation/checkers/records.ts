// What the ledger keeps: of each batch where its clips stand, of each clip that has begun and not
// ended what it is owed, of each lease whose device it has.

import type {
  Artifact,
  BatchAccepted,
  ClipRanges,
  FarmEvent,
  LeaseGranted,
} from "../../coordinator/core/events.js";

/** Where a clip stands; "fresh" ones have no record. */
export const stand = { fresh: 0, open: 1, published: 2, failed: 3, skipped: 4 } as const;

/** A clip that has begun and not ended. */
export interface OpenClip {
  readonly index: number;
  lease: LiveLease | null;
  previewed: boolean;
  approved: boolean;
  segmentsDone: number;
  checkpoint: { readonly step: number; readonly kind: string; readonly artifact: Artifact } | null;
  retryAt: number;
  memoryBytesAbove: number;
  failures: number;
  readonly failedOn: Set<string>;
}

export interface LiveLease {
  readonly event: LeaseGranted;
  readonly batch: LedgerBatch;
  started: boolean;
  /** Its agent has begun to work on it, whether it has said so or not. */
  begun: boolean;
  /** When the device was its own: at once, or when the lease before it ended. */
  since: number | null;
}

export interface LedgerBatch {
  readonly accepted: BatchAccepted;
  readonly stands: Uint8Array;
  readonly attempts: Uint32Array;
  readonly open: Map<number, OpenClip>;
  /** Records of clips that ended without a publication, should they be tried again. */
  readonly parked: Map<number, OpenClip>;
  /** Open clips that nobody holds. */
  readonly waiting: Set<number>;
  fresh: number;
  ended: number;
  published: number;
  priority: number;
  paused: boolean;
  cancelled: boolean;
  over: boolean;
  readonly failuresByWorker: Map<string, number>;
}

export type AttemptEvent = Extract<
  FarmEvent,
  {
    readonly type:
      | "AttemptStarted"
      | "CheckpointStored"
      | "AttemptLost"
      | "AttemptFailed"
      | "PreviewPublished"
      | "SegmentCompleted"
      | "ClipPublished";
  }
>;

/** How a lease ended. */
export type LeaseEnd = "done" | "lost" | "failed" | "withdrawn";

/** What others want to know of the ledger's changes. */
export interface LedgerListener {
  /** Before the lease is in the ledger. */
  onGrant?(event: LeaseGranted, batch: LedgerBatch, clip: OpenClip | undefined): void;
  /** After it is out of it; `seconds` is how long the device was its own. */
  onRelease?(lease: LiveLease, seconds: number, end: LeaseEnd, at: number): void;
  onEvent?(event: FarmEvent, sequence: number): void;
}

/** A batch of which nothing is begun. */
export function newLedgerBatch(accepted: BatchAccepted): LedgerBatch {
  return {
    accepted,
    stands: new Uint8Array(accepted.clips),
    attempts: new Uint32Array(accepted.clips),
    open: new Map(),
    parked: new Map(),
    waiting: new Set(),
    fresh: accepted.clips,
    ended: 0,
    published: 0,
    priority: accepted.priority,
    paused: false,
    cancelled: false,
    over: false,
    failuresByWorker: new Map(),
  };
}

export function newOpenClip(index: number): OpenClip {
  return {
    index,
    lease: null,
    previewed: false,
    approved: false,
    segmentsDone: 0,
    checkpoint: null,
    retryAt: 0,
    memoryBytesAbove: 0,
    failures: 0,
    failedOn: new Set(),
  };
}

export function isEnded(batch: LedgerBatch, index: number): boolean {
  return (batch.stands[index] ?? stand.fresh) >= stand.published;
}

export function clearTroubles(clip: OpenClip): void {
  clip.failures = 0;
  clip.retryAt = 0;
  clip.memoryBytesAbove = 0;
  clip.failedOn.clear();
}

export function deviceName(of: { readonly worker: string; readonly device: string }): string {
  return `${of.worker}/${of.device}`;
}

export function* clipsIn(ranges: ClipRanges): Generator<number> {
  for (const [first, last] of ranges) for (let index = first; index <= last; index++) yield index;
}
