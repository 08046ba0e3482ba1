// What can happen to a batch, a clip or an attempt: the whole truth of a pool, in the order of its
// log. Liveness (who is connected, how far an attempt is) is no event. Events are plain data that
// JSON can carry; `at` is milliseconds since 1970 and never goes back. A clip is one segment: its
// attempts are told by batch, index of the clip, and number.

/** One try of one clip, numbered from 1: the fencing number. */
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
}

/** What the plan says of one clip of the batch. */
export interface PlanFigures {
  readonly flops: number;
  readonly flopsNone: number;
  readonly cacheBytes: number;
  readonly peakBytes: number;
  readonly digest: string;
  readonly warnings: readonly string[];
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
  readonly promptsKey: string;
  readonly promptsSha256: string;
  readonly plan: PlanFigures;
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

/** A device may run the attempt. */
export interface LeaseGranted extends AttemptRef {
  readonly type: "LeaseGranted";
  readonly at: number;
  readonly worker: string;
  readonly device: string;
  readonly kind: string;
}

/** The engine has done its first step. */
export interface AttemptStarted extends AttemptRef {
  readonly type: "AttemptStarted";
  readonly at: number;
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
 * gave it up.
 */
export type LostReason = "silent" | "not_held" | "handed_back";

export interface AttemptFailed extends AttemptRef {
  readonly type: "AttemptFailed";
  readonly at: number;
  readonly failure: Failure;
  /** When the clip may be leased again; ClipFailed follows where it may not. */
  readonly retryAt: number;
  /** The next attempt needs a device with more memory than this; 0 = any. */
  readonly memoryBytesAbove: number;
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

export type FarmEvent =
  | LeaderStarted
  | BatchAccepted
  | BatchCancelled
  | LeaseGranted
  | AttemptStarted
  | AttemptLost
  | AttemptFailed
  | ClipPublished
  | ClipFailed;
