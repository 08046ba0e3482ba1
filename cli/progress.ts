// Progress of a batch for a person. On a terminal: a line for each clip at work and one for the
// batch, drawn over themselves, while finished clips scroll up. Elsewhere: a line for each change
// of state.
import type { Batch, Clip } from "../proto/gen/tocafarm/v1/farm.js";
import { type BatchTracker, type ClipChange, stateWord, tokensOf } from "./batch-tracker.js";
import { seconds, share, shortened } from "./table.js";

/** Where progress goes: stderr, so that stdout stays clean. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

// More lines than a terminal has would scroll the top ones away for good.
const liveClipsMax = 12;
const barColumns = 20;

export class ProgressView {
  readonly #output: ProgressOutput;
  #liveLines = 0;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  /** Shows what a message of the watch changed. */
  update(tracker: BatchTracker, changes: readonly ClipChange[]): void {
    if (this.#output.isTTY) this.#draw(tracker, changes);
    else this.#list(tracker.batch, changes);
  }

  /** A line that stays, above what is being drawn. */
  note(text: string): void {
    this.#erase();
    this.#output.write(`${text}\n`);
  }

  #list(batch: Batch, changes: readonly ClipChange[]): void {
    for (const { clip, before } of changes) {
      const line = clip.state === before?.state ? null : changeLine(clip, batch);
      if (line !== null) this.#output.write(`${line}\n`);
    }
  }

  #draw(tracker: BatchTracker, changes: readonly ClipChange[]): void {
    const columns = this.#output.columns ?? 80;
    const lasting = changes
      .filter(({ clip, before }) => clip.state !== before?.state && !isActive(clip))
      .map(({ clip }) => changeLine(clip, tracker.batch))
      .filter((line) => line !== null);
    const active = tracker.clips.filter(isActive);
    const live = active.slice(0, liveClipsMax).map(activeLine);
    const line = batchLine(tracker, active.length - live.length);
    this.#erase();
    for (const text of lasting) this.#output.write(`${shortened(text, columns - 1)}\n`);
    for (const text of [...live, line]) this.#output.write(`${shortened(text, columns - 1)}\n`);
    this.#liveLines = live.length + 1;
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

/** What a person wants to know when a clip comes into its state; null for nothing. */
function changeLine(clip: Clip, batch: Batch): string | null {
  const name = `clip ${clipNumber(clip.index)}`;
  const failure = clip.failure ? `${clip.failure.code}: ${clip.failure.message}` : "";
  switch (clip.state) {
    case "CLIP_STATE_RUNNING":
      return `${name} rendering on ${clip.worker} (${clip.device}): ${clip.prompt}`;
    case "CLIP_STATE_PUBLISHED": {
      const { reused, passed } = tokensOf(clip);
      const done = `${batch.clipsPublished} of ${batch.clipsTotal}`;
      return (
        `${name} done in ${seconds(clip.seconds)} on ${clip.worker}, ` +
        `${share(reused, passed)} of tokens from cache (${done})`
      );
    }
    case "CLIP_STATE_RETRY_WAIT":
      return `${name} attempt ${clip.attempt} failed and is tried again: ${failure}`;
    case "CLIP_STATE_FAILED":
      return `${name} failed: ${failure}`;
    default:
      return null;
  }
}

function activeLine(clip: Clip): string {
  const done = clip.steps > 0 ? Math.round((barColumns * clip.step) / clip.steps) : 0;
  const bar = "#".repeat(done).padEnd(barColumns, ".");
  const steps = `${clip.step}/${clip.steps}`.padStart(7);
  return `${clipNumber(clip.index)} ${bar} ${steps}  ${clip.worker}  ${clip.prompt}`;
}

function batchLine({ batch, clips }: BatchTracker, hidden: number): string {
  const fractions = clips.map((clip) => (isActive(clip) ? clip.step / Math.max(1, clip.steps) : 0));
  const ended = batch.clipsPublished + batch.clipsFailed + batch.clipsCancelled;
  const done = ended + fractions.reduce((sum, fraction) => sum + fraction, 0);
  const percent = Math.floor((100 * done) / Math.max(1, batch.clipsTotal));
  const failed = batch.clipsFailed > 0 ? `, ${batch.clipsFailed} failed` : "";
  const more = hidden > 0 ? `, ${hidden} more at work` : "";
  return (
    `batch ${batch.id} ${stateWord(batch.state)}: ` +
    `${batch.clipsPublished} of ${batch.clipsTotal} clips${failed}${more}, ${percent} %`
  );
}
