// Batches as people read them: the row of a list, and the lines of one.
import { counted } from "../common/counted.js";
import { unusedCacheWarning } from "../engine/unused-cache.js";
import type { Batch, Clip } from "../proto/gen/tocafarm/v1/farm.js";
import { isEnded, stateWord, tokensOf } from "./batch-tracker.js";
import { policyText } from "./policy-text.js";
import { bytes, type Column, flops, frameCount, seconds, shortened } from "./table.js";

const nameColumnsMax = 30;

export const batchColumns: readonly Column<Batch>[] = [
  { title: "batch", text: ({ id }) => id },
  { title: "name", text: ({ name }) => shortened(name, nameColumnsMax) },
  { title: "tenant", text: ({ tenant }) => shortened(tenant, nameColumnsMax) },
  { title: "tier", align: "right", text: ({ priority }) => `${priority}` },
  { title: "state", text: stateText },
  {
    title: "clips",
    align: "right",
    text: ({ clipsPublished, clipsTotal }) => `${clipsPublished}/${clipsTotal}`,
  },
  { title: "failed", align: "right", text: ({ clipsFailed }) => `${clipsFailed}` },
  { title: "left", align: "right", text: leftText },
  { title: "submitted", text: ({ submittedAt }) => minuteText(submittedAt) },
];

/** "active", "paused, late". */
function stateText(batch: Batch): string {
  const state = stateWord(batch.state);
  const paused = batch.paused && batch.state !== "BATCH_STATE_PAUSED" && !isEnded(batch);
  return [state, paused ? "paused" : "", batch.late ? "late" : ""].filter(Boolean).join(", ");
}

function leftText({ secondsToFinish }: Batch): string {
  return secondsToFinish === undefined ? "-" : seconds(secondsToFinish);
}

/** "2026-11-23 08:15Z" */
function minuteText(time: Date | undefined): string {
  return time === undefined ? "" : `${time.toISOString().slice(0, 16).replace("T", " ")}Z`;
}

/** What a list has no room for, a line each. */
export function batchLines(batch: Batch): readonly string[] {
  const { id, spec, preview, deadline, deviceSecondsLeft } = batch;
  const waiting = batch.clipsAwaitingApproval;
  const lines = [
    `${spec?.model}, ${frameCount(spec?.frames ?? 0)} of ${spec?.height}x${spec?.width}, ` +
      `${counted(spec?.steps ?? 0, "step")}, policy ${policyText(spec?.policy)}, ` +
      `guidance ${spec?.guidance}, seed ${spec?.seed}; ${clipCost(batch)}`,
    preview &&
      `preview first: ${counted(preview.steps, "step")}, policy ${policyText(preview.policy)}`,
    deadline && `deadline ${deadline.toISOString()}${batch.late ? ": late" : ""}`,
    deviceSecondsLeft !== undefined && `devices still need ${seconds(deviceSecondsLeft)} for it`,
    batch.clipsSkipped > 0 && `skipped or rejected: ${batch.clipsSkipped}`,
    waiting > 0 && approvalLine(id, waiting),
    ...batch.warnings.map((warning) => `warning: ${warning}`),
  ];
  return lines.filter((line) => typeof line === "string");
}

/** "59.2 GiB of memory, 34.4 GiB of it cache" */
export function memoryText(of: {
  readonly peakBytes: number | bigint;
  readonly cacheBytes: number | bigint;
}): string {
  return `${bytes(Number(of.peakBytes))} of memory, ${bytes(Number(of.cacheBytes))} of it cache`;
}

/** What a clip of a batch costs. */
export function clipCost(batch: Batch): string {
  const { flopsPerClip: taken, flopsNonePerClip: none } = batch;
  const saved = taken === none ? "" : ` instead of ${flops(none)}`;
  return `a clip takes ${flops(taken)}${saved}, and ${memoryText(batch)}`;
}

/** Where a person has to act. */
export function approvalLine(batchId: string, clips: number): string {
  const what = `${counted(clips, "preview")} ${clips === 1 ? "waits" : "wait"}`;
  return `${what} for your verdict: tocafarm approve ${batchId} [CLIPS], or reject`;
}

/**
 * What became of a clip of a batch with `policy` beside its row: its failure, its preview's files,
 * and whether its cache was of no use.
 */
export function clipLines(clip: Clip, policy: string): readonly string[] {
  const { id, state, failure, previewArtifacts } = clip;
  const published = state === "CLIP_STATE_PUBLISHED";
  const after = published ? " published after a failed attempt:" : "";
  const [preview] = previewArtifacts;
  const unused = published && unusedCacheWarning({ policy, ...tokensOf(clip) });
  const lines = [
    unused && `${id}: warning: ${unused}`,
    failure && `${id}:${after} ${failure.code}: ${failure.message}`,
    preview && `${id}: preview ${preview.key}`,
  ];
  return lines.filter((line) => typeof line === "string");
}
