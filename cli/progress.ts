// Progress of a batch for a person. On a terminal: a line for each clip at work and one for the
// batch, drawn over themselves, while finished clips scroll up. Elsewhere: a line for each change
// of state.
import type { Clip } from "../proto/gen/tocafarm/v1/farm.js";
import { type BatchTracker, type ClipChange, stateWord, tokensOf } from "./batch-tracker.js";
import { cut, seconds, share, shortened } from "./table.js";

/** Where progress goes: stderr, so that stdout stays clean. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

// More lines than a terminal has would scroll the top ones away for good.
const liveClipsMax = 12;
const barColumns = 20;
const promptColumnsMax = 100;
const terminalColumns = 80;

export class ProgressView {
  readonly #output: ProgressOutput;
  #liveLines = 0;
  #clipsDone = 0;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  /** Shows what a message of the watch changed. */
  update(tracker: BatchTracker, changes: readonly ClipChange[]): void {
    if (this.#output.isTTY) this.#draw(tracker, changes);
    else this.#list(changes, tracker.batch.clipsTotal);
  }

  #list(changes: readonly ClipChange[], clipsTotal: number): void {
    for (const { clip, before } of changes) {
      const line = clip.state === before?.state ? null : this.#changeLine(clip, clipsTotal);
      if (line !== null) this.#output.write(`${line}\n`);
    }
  }

  #draw(tracker: BatchTracker, changes: readonly ClipChange[]): void {
    const columns = this.#output.columns || terminalColumns; // some terminals say 0
    const lasting = changes
      .filter(({ clip, before }) => clip.state !== before?.state && !isActive(clip))
      .map(({ clip }) => this.#changeLine(clip, tracker.batch.clipsTotal))
      .filter((line) => line !== null);
    const active = tracker.clips.filter(isActive);
    const live = active.slice(0, liveClipsMax).map(activeLine);
    const line = batchLine(tracker, active.length - live.length);
    this.#erase();
    for (const text of lasting) this.#output.write(`${cut(text, columns - 1)}\n`);
    for (const text of [...live, line]) this.#output.write(`${cut(text, columns - 1)}\n`);
    this.#liveLines = live.length + 1;
  }

  /** What a person wants to know when a clip comes into its state; null for nothing. */
  #changeLine(clip: Clip, clipsTotal: number): string | null {
    const name = `clip ${clipNumber(clip.index)}`;
    const failure = clip.failure ? `${clip.failure.code}: ${clip.failure.message}` : "";
    switch (clip.state) {
      case "CLIP_STATE_RUNNING":
        return `${name} rendering on ${clip.worker} (${clip.device}): ${promptOf(clip)}`;
      case "CLIP_STATE_PUBLISHED": {
        const { reused, passed } = tokensOf(clip);
        this.#clipsDone++;
        return (
          `${name} done in ${seconds(clip.seconds)} on ${clip.worker}, ` +
          `${share(reused, passed)} of tokens from cache (${this.#clipsDone} of ${clipsTotal})`
        );
      }
      case "CLIP_STATE_RETRY_WAIT":
        return `${name} attempt ${clip.attempt} failed and is tried again: ${failure}`;
      case "CLIP_STATE_FAILED":
        return `${name} failed: ${failure}`;
      case "CLIP_STATE_AWAITING_APPROVAL":
        return `${name} preview done, waits for a verdict`;
      case "CLIP_STATE_SKIPPED":
      case "CLIP_STATE_REJECTED":
        return `${name} ${stateWord(clip.state)}`;
      default:
        return null;
    }
  }

  #erase(): void {
    if (this.#liveLines > 0) this.#output.write(`\x1b[${this.#liveLines}A\x1b[J`);
    this.#liveLines = 0;
  }
}

function isActive({ state }: Clip): boolean {
  return state === "CLIP_STATE_RUNNING" || state === "CLIP_STATE_LEASED";
}

/** "0007" */
export function clipNumber(index: number): string {
  return index.toString().padStart(4, "0");
}

function promptOf({ prompt }: Clip): string {
  return shortened(prompt, promptColumnsMax);
}

function activeLine(clip: Clip): string {
  const done = clip.steps > 0 ? Math.round((barColumns * clip.step) / clip.steps) : 0;
  const bar = "#".repeat(done).padEnd(barColumns, ".");
  const steps = `${clip.step}/${clip.steps}`.padStart(7);
  return `${clipNumber(clip.index)} ${bar} ${steps}  ${clip.worker}  ${promptOf(clip)}`;
}

function batchLine({ batch, clips }: BatchTracker, hidden: number): string {
  const fractions = clips.map((clip) => (isActive(clip) ? clip.step / Math.max(1, clip.steps) : 0));
  const { clipsPublished, clipsFailed, clipsCancelled, clipsSkipped } = batch;
  const ended = clipsPublished + clipsFailed + clipsCancelled + clipsSkipped;
  const done = ended + fractions.reduce((sum, fraction) => sum + fraction, 0);
  const percent = Math.floor((100 * done) / Math.max(1, batch.clipsTotal));
  const failed = clipsFailed > 0 ? `, ${clipsFailed} failed` : "";
  const waiting = batch.clipsAwaitingApproval;
  const verdicts = waiting > 0 ? `, ${waiting} wait for a verdict` : "";
  const left = batch.secondsToFinish;
  const end = left === undefined ? "" : `, about ${seconds(left)} left`;
  const more = hidden > 0 ? `, ${hidden} more at work` : "";
  return (
    `batch ${batch.id} ${stateWord(batch.state)}: ` +
    `${clipsPublished} of ${batch.clipsTotal} clips${failed}${verdicts}${more}, ` +
    `${percent} %${end}${batch.late ? ", late" : ""}`
  );
}
