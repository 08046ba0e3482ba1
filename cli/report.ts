// What a person, or a script, is told of a batch that has ended.
import path from "node:path";
import { FarmError, isErrorCode } from "../common/errors.js";
import type { Clip } from "../proto/gen/tocafarm/v1/farm.js";
import { approvalLine } from "./batch-text.js";
import { type BatchTracker, stateWord, tokensOf } from "./batch-tracker.js";
import { sheetClipsMax, writeContactSheet } from "./contact-sheet.js";
import type { BatchOutcome } from "./follow-batch.js";
import { clipNumber } from "./progress.js";
import { type Column, flops, seconds, share, table } from "./table.js";

const columns: readonly Column<Clip>[] = [
  { title: "clip", text: (clip) => clipNumber(clip.index) },
  { title: "state", text: (clip) => stateWord(clip.state) },
  { title: "worker", text: (clip) => clip.worker || "-" },
  { title: "time", align: "right", text: (clip) => (clip.seconds ? seconds(clip.seconds) : "-") },
  { title: "steps", align: "right", text: (clip) => `${clip.steps || "-"}` },
  {
    title: "from cache",
    align: "right",
    text: (clip) => share(tokensOf(clip).reused, tokensOf(clip).passed),
  },
  {
    title: "FLOPs saved",
    align: "right",
    text: ({ totals }) => (totals ? share(totals.flopsNone - totals.flops, totals.flopsNone) : "-"),
  },
];

/** The table of clips. */
export function clipTable(clips: readonly Clip[]): string {
  return table(columns, clips);
}

export interface BatchReport {
  readonly text: string;
  readonly json: unknown;
}

/** Writes the contact sheet of a batch of several clips, and says what was made. */
export async function reportBatch(outcome: BatchOutcome, folder: string): Promise<BatchReport> {
  const { tracker, fetched } = outcome;
  const sheet = fetched.size > 1 ? await contactSheet(outcome, folder) : null;
  const { batch, clips } = tracker;
  const lines = [
    clipTable(clips),
    summary(tracker),
    tracker.awaitsApproval ? approvalLine(batch.id, batch.clipsAwaitingApproval) : null,
    fetched.size === 0 ? null : `files: ${[...fetched.values()][0]}${others(fetched.size)}`,
    sheet === null ? null : `contact sheet: ${sheet}`,
  ];
  return {
    text: lines.filter((line) => line !== null).join("\n"),
    json: { batch, clips, files: Object.fromEntries(fetched), contactSheet: sheet },
  };
}

function others(count: number): string {
  return count > 1 ? ` and ${count - 1} more, each with its manifest (.json)` : "";
}

function summary({ batch, clips }: BatchTracker): string {
  const sum = (of: (clip: Clip) => number) => clips.reduce((total, clip) => total + of(clip), 0);
  const spent = sum(({ totals }) => totals?.flops ?? 0);
  const none = sum(({ totals }) => totals?.flopsNone ?? 0);
  const reused = sum((clip) => tokensOf(clip).reused);
  const passed = sum((clip) => tokensOf(clip).passed);
  const began = batch.submittedAt?.getTime();
  const ended = batch.endedAt?.getTime();
  const known = began !== undefined && ended !== undefined;
  const took = known ? ` in ${seconds((ended - began) / 1000)}` : "";
  return (
    `batch ${batch.id} ${stateWord(batch.state)}: ${batch.clipsPublished} of ${batch.clipsTotal} ` +
    `clips${took}; ${share(reused, passed)} of tokens from cache, ` +
    `${flops(spent)} instead of ${flops(none)}`
  );
}

async function contactSheet(outcome: BatchOutcome, folder: string): Promise<string> {
  const { spec } = outcome.tracker.batch;
  const output = path.join(folder, "contact-sheet.png");
  const clips = [...outcome.fetched]
    .slice(0, sheetClipsMax)
    .map(([, file]) => ({ file, frames: spec?.frames ?? 1 }));
  // What is decoded is a multiple of the latent's 8 pixels.
  const decoded = (side: number | undefined) => 8 * Math.floor((side ?? 8) / 8);
  const size = { height: decoded(spec?.height), width: decoded(spec?.width) };
  await writeContactSheet({ clips, ...size, output });
  return output;
}

/** Why a batch did not succeed, as the error that ends the command; null when it did, or may. */
export function failureOf({ batch, clips, awaitsApproval }: BatchTracker): FarmError | null {
  if (batch.state === "BATCH_STATE_SUCCEEDED" || awaitsApproval) return null;
  if (batch.state === "BATCH_STATE_CANCELLED") {
    return new FarmError("CANCELLED", `batch ${batch.id} was cancelled`);
  }
  const failed = clips.find((clip) => clip.state === "CLIP_STATE_FAILED");
  const code = failed?.failure?.code;
  const more = batch.clipsFailed > 1 ? `; ${batch.clipsFailed - 1} more clips failed` : "";
  return new FarmError(
    isErrorCode(code) ? code : "INTERNAL",
    `clip ${clipNumber(failed?.index ?? 0)}: ${failed?.failure?.message ?? "failed"}${more}`,
  );
}
