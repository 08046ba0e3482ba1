// Between the messages of proto/ and the plain types of core/: one function for each pair. What a
// message lacks is refused here, and what a peer could make too long is cut or refused here, so
// that core and log see bounded data only.

import { FarmError, isErrorCode } from "../../common/errors.js";
import { clipId, parseSegmentId, segmentId } from "../../common/ids.js";
import type {
  Batch as BatchMessage,
  Clip as ClipMessage,
  PreviewSpec as PreviewMessage,
  Worker as WorkerMessage,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type {
  Artifact as ArtifactMessage,
  Failure as FailureMessage,
  PolicySpec as PolicyMessage,
  RenderSpec as RenderSpecMessage,
  RenderTotals as RenderTotalsMessage,
} from "../../proto/gen/tocafarm/v1/render.js";
import type { AttemptRef as AttemptRefMessage } from "../../proto/gen/tocafarm/v1/worker.js";
import type {
  Artifact,
  AttemptRef,
  Failure,
  Policy,
  Preview,
  RenderSpec,
  RenderTotals,
} from "../core/events.js";
import type { Farm } from "../core/farm.js";
import { conditionOf, isDraining, type Liveness, type WorkerMemory } from "../core/liveness.js";
import {
  type Batch,
  batchPhaseOf,
  clipKey,
  clipsCancelled,
  leasesOn,
  phaseOf,
} from "../core/state.js";
import { stepsOf } from "../core/work.js";
import { boundedCount, shortened } from "./peer-bounds.js";

/**
 * In UTF-8. A turn of the log may hold the same failure for 500 clips, in a message of 1 MB at the
 * most.
 */
const failureBytesMax = 500;
const seedModulus = 2n ** 64n;

const batchStates = {
  queued: "BATCH_STATE_QUEUED",
  active: "BATCH_STATE_ACTIVE",
  succeeded: "BATCH_STATE_SUCCEEDED",
  failed: "BATCH_STATE_FAILED",
  cancelled: "BATCH_STATE_CANCELLED",
  paused: "BATCH_STATE_PAUSED",
  awaiting_approval: "BATCH_STATE_AWAITING_APPROVAL",
} as const;

const clipStates = {
  queued: "CLIP_STATE_QUEUED",
  leased: "CLIP_STATE_LEASED",
  running: "CLIP_STATE_RUNNING",
  retry_wait: "CLIP_STATE_RETRY_WAIT",
  published: "CLIP_STATE_PUBLISHED",
  failed: "CLIP_STATE_FAILED",
  cancelled: "CLIP_STATE_CANCELLED",
  awaiting_approval: "CLIP_STATE_AWAITING_APPROVAL",
  skipped: "CLIP_STATE_SKIPPED",
  rejected: "CLIP_STATE_REJECTED",
} as const;

const traceDetails = {
  none: "TRACE_DETAIL_UNSPECIFIED",
  modules: "TRACE_DETAIL_MODULES",
  indices: "TRACE_DETAIL_INDICES",
} as const;

/** Without what is to be expected of it (outlook.ts). */
export function toBatchMessage(batch: Batch): BatchMessage {
  return {
    id: batch.id,
    name: batch.name,
    state: batchStates[batchPhaseOf(batch)],
    spec: toSpecMessage(batch.spec),
    tenant: batch.tenant,
    priority: batch.priority,
    submittedAt: new Date(batch.submittedAt),
    endedAt: dateOf(batch.endedAt),
    clipsTotal: batch.clipsTotal,
    clipsPublished: batch.clipsPublished,
    clipsFailed: batch.clipsFailed,
    clipsCancelled: clipsCancelled(batch),
    flopsPerClip: batch.plan.flops,
    flopsNonePerClip: batch.plan.flopsNone,
    cacheBytes: BigInt(batch.plan.cacheBytes),
    peakBytes: BigInt(batch.plan.peakBytes),
    warnings: warningsOf(batch),
    preview: batch.preview ? toPreviewMessage(batch.preview) : undefined,
    deadline: dateOf(batch.deadlineAt),
    clipsSkipped: batch.clipsSkipped,
    clipsAwaitingApproval: batch.clipsAwaitingApproval,
    paused: batch.paused,
    late: false,
  };
}

/** A clip as its batch, its newest attempt and the leader's memory show it. */
export function toClipMessage(
  batch: Batch,
  index: number,
  live: Liveness,
  prompts: readonly string[],
): ClipMessage {
  const clip = batch.clips.get(index);
  const phase = phaseOf(batch, clip);
  const progress = clip?.lease ? live.leases.get(clipKey(batch.id, index)) : undefined;
  // What there is to see: the video, or the preview while it waits for a verdict.
  const done = clip?.publication ?? (clip?.awaitingApproval ? clip.preview : null);
  const place = done ?? clip?.lease;
  const totals = done?.totals ?? progress?.totals;
  const steps = stepsOf(batch, (clip?.awaitingApproval || clip?.previewing) ?? false);
  return {
    id: clipId(batch.id, index),
    index,
    prompt: prompts[index] ?? "",
    seed: seedOf(batch.spec, index),
    state: clipStates[phase],
    attempt: clip?.attempt ?? 0,
    worker: place?.worker ?? "",
    device: place?.device ?? "",
    step: done ? steps : (progress?.step ?? 0),
    steps,
    totals: totals ? toTotalsMessage(totals) : undefined,
    seconds: done?.seconds ?? 0,
    artifacts: (clip?.publication?.artifacts ?? []).map(toArtifactMessage),
    failure: clip?.failure ? { ...clip.failure } : undefined,
    previewArtifacts: (clip?.preview?.artifacts ?? []).map(toArtifactMessage),
    segment: clip?.segment ?? 0,
    segments: batch.segments,
    checkpointStep: clip?.checkpoint?.step ?? 0,
  };
}

export function toWorkerMessage(worker: WorkerMemory, { state }: Farm): WorkerMessage {
  const leases = leasesOn(state, worker.id);
  return {
    id: worker.id,
    version: worker.version,
    connected: worker.connected,
    connectedAt: new Date(worker.connectedAt),
    draining: isDraining(worker),
    devices: [...worker.devices.values()].map((device) => {
      // Another one may wait behind it.
      const lease = leases.find(
        ({ device: on, since }) => on === device.info.name && since !== null,
      );
      return {
        name: device.info.name,
        kind: device.info.kind,
        memoryBytes: BigInt(device.info.memoryBytes),
        state: conditionOf(device),
        attempt: lease ? `${segmentId(lease.batch, lease.clip)}/${lease.attempt}` : "",
        models: [...worker.models.keys()],
      };
    }),
  };
}

/** The seed of clip `index`: it wraps around at 64 bits. */
export function seedOf(spec: RenderSpec, index: number): bigint {
  return (BigInt(spec.seed) + BigInt(index)) % seedModulus;
}

export function toSpecMessage(spec: RenderSpec): RenderSpecMessage {
  const { policy, scores, trace, seed, ...same } = spec;
  return {
    ...same,
    seed: BigInt(seed),
    policy: toPolicyMessage(policy),
    scores: scores
      ? {
          aesthetic: scores.aesthetic ?? undefined,
          motion: scores.motion ?? undefined,
          cameraMotion: scores.cameraMotion ?? undefined,
        }
      : undefined,
    trace: traceDetails[trace],
  };
}

export function toPolicyMessage({ name, options }: Policy): PolicyMessage {
  return { name, options: { ...options } };
}

/** Throws INVALID_ARGUMENT for what no plan would look at. */
export function fromSpecMessage(message: RenderSpecMessage): RenderSpec {
  const { policy, scores, trace, seed, ...same } = message;
  return {
    ...same,
    seed: seed.toString(),
    policy: fromPolicyMessage(policy ?? { name: "", options: {} }),
    scores: scores
      ? {
          aesthetic: scores.aesthetic ?? null,
          motion: scores.motion ?? null,
          cameraMotion: scores.cameraMotion ?? null,
        }
      : null,
    trace: fromTrace(trace),
  };
}

/** What is wrong with the preview alone is told as such. */
function warningsOf({ plan, preview }: Batch): string[] {
  const own = preview?.plan.warnings.filter((warning) => !plan.warnings.includes(warning)) ?? [];
  return [...plan.warnings, ...own.map((warning) => `preview: ${warning}`)];
}

/** With its options in the order of their names. */
export function fromPolicyMessage({ name, options }: PolicyMessage): PolicyMessage {
  const sorted = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  return { name, options: Object.fromEntries(sorted) };
}

export function toTotalsMessage(totals: RenderTotals): RenderTotalsMessage {
  return {
    ...totals,
    tokensComputed: BigInt(totals.tokensComputed),
    tokensReused: BigInt(totals.tokensReused),
  };
}

/** Absent totals are zeros. */
export function fromTotalsMessage(totals: RenderTotalsMessage | undefined): RenderTotals {
  return {
    tokensComputed: boundedCount(totals?.tokensComputed ?? 0n),
    tokensReused: boundedCount(totals?.tokensReused ?? 0n),
    flops: totals?.flops ?? 0,
    flopsNone: totals?.flopsNone ?? 0,
    textEncodeSeconds: totals?.textEncodeSeconds ?? 0,
    denoiseSeconds: totals?.denoiseSeconds ?? 0,
    decodeSeconds: totals?.decodeSeconds ?? 0,
    encodeSeconds: totals?.encodeSeconds ?? 0,
    uploadSeconds: totals?.uploadSeconds ?? 0,
  };
}

export function toArtifactMessage({ key, sha256, sizeBytes }: Artifact): ArtifactMessage {
  return { key, sha256, sizeBytes: BigInt(sizeBytes) };
}

/** An unknown code is INTERNAL; a message becomes one line, and a long one is cut. */
export function fromFailureMessage(failure: FailureMessage | undefined): Failure {
  const code = isErrorCode(failure?.code) ? failure.code : "INTERNAL";
  const message = failure?.message || "the worker gave no reason";
  return { code, message: shortened(message.replaceAll(/[\s\p{Cc}]+/gu, " "), failureBytesMax) };
}

export function toRefMessage({ batch, clip, attempt }: AttemptRef): AttemptRefMessage {
  return { segmentId: segmentId(batch, clip), attempt };
}

/** Throws INVALID_ARGUMENT for what is no attempt of a clip. */
export function fromRefMessage(ref: AttemptRefMessage | undefined): AttemptRef {
  if (!ref) throw new FarmError("INVALID_ARGUMENT", "a report names no attempt");
  const { batch, index, segment } = parseSegmentId(ref.segmentId);
  if (segment !== 0) {
    throw new FarmError("INVALID_ARGUMENT", `${ref.segmentId}: a clip has one segment, number 0`);
  }
  return { batch, clip: index, attempt: ref.attempt };
}

function toPreviewMessage({ steps, policy }: Preview): PreviewMessage {
  return { steps, policy: toPolicyMessage(policy) };
}

function dateOf(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}

function fromTrace(trace: RenderSpecMessage["trace"]): RenderSpec["trace"] {
  switch (trace) {
    case "TRACE_DETAIL_UNSPECIFIED":
      return "none";
    case "TRACE_DETAIL_MODULES":
      return "modules";
    case "TRACE_DETAIL_INDICES":
      return "indices";
    default:
      throw new FarmError("INVALID_ARGUMENT", "trace is unknown; none, modules or indices exist");
  }
}
