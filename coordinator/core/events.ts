// What can happen to a batch, a clip or an attempt: the whole truth of a pool, in the order of its
// log. Liveness (who is connected, how far an attempt is) is no event. Events are plain data that
// JSON can carry; `at` is milliseconds since 1970 and never goes back. The work of a clip is a
// chain: a preview if one was asked for, then its segments one after the other. Whatever it works
// on, a clip has one live attempt at most, so attempts are numbered for the whole clip.

/** One try of a clip's work, numbered from 1 within the clip: the fencing number. */
export interface AttemptRef {
  readonly batch: string;
  readonly clip: number;
  readonly attempt: number;
}

export interface Policy {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

/**
 * How every clip of a batch is rendered; `model`, `dtype` and `device` decide where, the rest is
 * the worker's.
 */
export interface RenderSpec {
  readonly model: string;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly fps: number;
  readonly saveFps: number;
  readonly steps: number;
  readonly guidance: number;
  /** Decimal, 64 bits; clip i draws from seed + i. */
  readonly seed: string;
  readonly policy: Policy;
  readonly scores: {
    readonly aesthetic: number | null;
    readonly motion: number | null;
    readonly cameraMotion: string | null;
  } | null;
  /** "" = the device's default. */
  readonly dtype: string;
  /** "cpu", "cuda", or "" = any. */
  readonly device: string;
  /** "" = drawn from the seed. */
  readonly initialLatentKey: string;
  readonly saveLatent: boolean;
  readonly trace: "none" | "modules" | "indices";
  readonly saveFrames: boolean;
  /** "" = the model's usual one. */
  readonly sampler: string;
}

/** What the plan says of one clip of the batch. */
export interface PlanFigures {
  readonly flops: number;
  readonly flopsNone: number;
  readonly cacheBytes: number;
  readonly peakBytes: number;
  readonly digest: string;
  readonly warnings: readonly string[];
  /** Steps from which an attempt can be resumed, without 0 and without the end. */
  readonly refreshPoints: readonly number[];
}

/** How the preview of every clip is rendered, where it differs from the final one. */
export interface Preview {
  readonly steps: number;
  readonly policy: Policy;
  readonly plan: PlanFigures;
}

/** Places of clips in a batch, both ends included, in rising order and without overlap. */
export type ClipRanges = readonly (readonly [first: number, last: number])[];

/** Where an attempt can go on: the newest stored state of a clip's work. */
export interface Checkpoint {
  /** Steps done. */
  readonly step: number;
  readonly artifact: Artifact;
  /** Of the steps done. */
  readonly totals: RenderTotals;
}

export interface RenderTotals {
  readonly tokensComputed: number;
  readonly tokensReused: number;
  readonly flops: number;
  readonly flopsNone: number;
  readonly textEncodeSeconds: number;
  readonly denoiseSeconds: number;
  readonly decodeSeconds: number;
  readonly encodeSeconds: number;
  readonly uploadSeconds: number;
}

export interface Artifact {
  readonly key: string;
  /** Hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** A code of common/errors.ts and one line of text. */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** A new leader's reign begins. */
export interface LeaderStarted {
  readonly type: "LeaderStarted";
  readonly at: number;
  readonly term: number;
}

/** Clips are implied by index; their prompts lie in the artifact store under `promptsKey`. */
export interface BatchAccepted {
  readonly type: "BatchAccepted";
  readonly at: number;
  readonly batch: string;
  readonly name: string;
  readonly tenant: string;
  /** Tier, 0 first. */
  readonly priority: number;
  readonly spec: RenderSpec;
  /** Of the weights: only workers with the same ones render the batch. */
  readonly weightsDigest: string;
  readonly clips: number;
  /** Of every clip. */
  readonly segments: number;
  readonly promptsKey: string;
  readonly promptsSha256: string;
  /** Of one segment. */
  readonly plan: PlanFigures;
  /** Final renders wait for a verdict on the preview; null = there is none. */
  readonly preview: Preview | null;
  /** Milliseconds since 1970; null = none. */
  readonly deadlineAt: number | null;
  /** "" = none. */
  readonly idempotencyKey: string;
  /** Of the submission, to tell a repetition from another one under the same key. */
  readonly bodySha256: string;
}

export interface BatchCancelled {
  readonly type: "BatchCancelled";
  readonly at: number;
  readonly batch: string;
}

/** None of its clips is leased until it is resumed. */
export interface BatchPaused {
  readonly type: "BatchPaused";
  readonly at: number;
  readonly batch: string;
}

export interface BatchResumed {
  readonly type: "BatchResumed";
  readonly at: number;
  readonly batch: string;
}

export interface PrioritySet {
  readonly type: "PrioritySet";
  readonly at: number;
  readonly batch: string;
  readonly priority: number;
}

/** Before or behind all other batches of its tenant and tier. */
export interface BatchMoved {
  readonly type: "BatchMoved";
  readonly at: number;
  readonly batch: string;
  readonly place: "first" | "last";
}

/** They wait again with nothing counted against them; a batch that had ended goes on. */
export interface ClipsRetried {
  readonly type: "ClipsRetried";
  readonly at: number;
  readonly batch: string;
  readonly clips: ClipRanges;
}

/** They end without a video: an operator's word, or a rejected preview. */
export interface ClipsSkipped {
  readonly type: "ClipsSkipped";
  readonly at: number;
  readonly batch: string;
  readonly clips: ClipRanges;
  readonly reason: "skipped" | "rejected";
}

/** They are the batch's next ones. */
export interface ClipsPromoted {
  readonly type: "ClipsPromoted";
  readonly at: number;
  readonly batch: string;
  readonly clips: ClipRanges;
}

/** Their previews are good: final renders may follow. */
export interface ClipsApproved {
  readonly type: "ClipsApproved";
  readonly at: number;
  readonly batch: string;
  readonly clips: ClipRanges;
}

/** A device may run the attempt. */
export interface LeaseGranted extends AttemptRef {
  readonly type: "LeaseGranted";
  readonly at: number;
  readonly worker: string;
  readonly device: string;
  readonly kind: string;
  readonly preview: boolean;
  readonly segment: number;
  /** The attempt begins here: 0, or the step of the stored checkpoint. */
  readonly resumeStep: number;
  /** Estimate by which the tenant is charged. */
  readonly deviceSeconds: number;
  /** In which the tenant is charged: the batch's, or a better one to which it had risen. */
  readonly tier: number;
  /** Of the tenant at this moment, since it is configured and not in the log. */
  readonly weight: number;
}

/** The engine has done its first step. */
export interface AttemptStarted extends AttemptRef {
  readonly type: "AttemptStarted";
  readonly at: number;
}

/** From now on the attempt's work can go on from there on a device of its kind. */
export interface CheckpointStored extends AttemptRef {
  readonly type: "CheckpointStored";
  readonly at: number;
  readonly checkpoint: Checkpoint;
}

/** An interruption: no failure of the clip. */
export interface AttemptLost extends AttemptRef {
  readonly type: "AttemptLost";
  readonly at: number;
  readonly reason: LostReason;
  /** When the clip may be leased again. */
  readonly retryAt: number;
}

/**
 * silent: not renewed in time; not_held: its agent came back without it; handed_back: its agent
 * gave it up of its own accord; cut: it was asked to; revoked: taken back before it began.
 */
export type LostReason = "silent" | "not_held" | "handed_back" | "cut" | "revoked";

export interface AttemptFailed extends AttemptRef {
  readonly type: "AttemptFailed";
  readonly at: number;
  readonly failure: Failure;
  /** When the clip may be leased again; ClipFailed follows where it may not. */
  readonly retryAt: number;
  /** The next attempt needs a device with more memory than this; 0 = any. */
  readonly memoryBytesAbove: number;
}

/** A segment that others follow is done; the next one may be leased. */
export interface SegmentCompleted extends AttemptRef {
  readonly type: "SegmentCompleted";
  readonly at: number;
  readonly artifacts: readonly Artifact[];
  readonly totals: RenderTotals;
}

/** The clip waits for a verdict. */
export interface PreviewPublished extends AttemptRef {
  readonly type: "PreviewPublished";
  readonly at: number;
  readonly artifacts: readonly Artifact[];
  readonly totals: RenderTotals;
}

/** The clip's files are those of this attempt, and no others ever. */
export interface ClipPublished extends AttemptRef {
  readonly type: "ClipPublished";
  readonly at: number;
  readonly artifacts: readonly Artifact[];
  readonly totals: RenderTotals;
}

export interface ClipFailed {
  readonly type: "ClipFailed";
  readonly at: number;
  readonly batch: string;
  readonly clip: number;
  readonly failure: Failure;
}

/** The device has failed too often in a row; it gets no lease until its canary render is right. */
export interface DeviceQuarantined {
  readonly type: "DeviceQuarantined";
  readonly at: number;
  readonly worker: string;
  readonly device: string;
  readonly kind: string;
  /** The newest one. */
  readonly failure: Failure;
}

export interface DeviceReleased {
  readonly type: "DeviceReleased";
  readonly at: number;
  readonly worker: string;
  readonly device: string;
  readonly by: "canary" | "operator";
  /** Of the canary's file, which every device of the kind renders alike; "" for an operator. */
  readonly sha256: string;
  /** Of the model that it was rendered with; "" for an operator. */
  readonly weightsDigest: string;
}

/** The worker gets no lease until the operator lets it work again. */
export interface WorkerDrained {
  readonly type: "WorkerDrained";
  readonly at: number;
  readonly worker: string;
}

export interface WorkerUndrained {
  readonly type: "WorkerUndrained";
  readonly at: number;
  readonly worker: string;
}

export type FarmEvent =
  | LeaderStarted
  | BatchAccepted
  | BatchCancelled
  | BatchPaused
  | BatchResumed
  | PrioritySet
  | BatchMoved
  | ClipsRetried
  | ClipsSkipped
  | ClipsPromoted
  | ClipsApproved
  | LeaseGranted
  | AttemptStarted
  | CheckpointStored
  | AttemptLost
  | AttemptFailed
  | SegmentCompleted
  | PreviewPublished
  | ClipPublished
  | ClipFailed
  | DeviceQuarantined
  | DeviceReleased
  | WorkerDrained
  | WorkerUndrained;
