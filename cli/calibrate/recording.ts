// What calibration clips recorded, and the file that keeps it: recording takes many renders, a
// schedule for another budget a few.
import { readFile, stat } from "node:fs/promises";
import { FarmError } from "../../common/errors.js";
import type { Engine, RenderRequest, StepRecord } from "../../engine/engine.js";
import { writeWhole } from "../compare/comparison.js";

/** All that decides a recording; in the words of policy files. */
export interface RecordedRender {
  /** Name of the folder. */
  readonly model: string;
  /** Of the weights. */
  readonly model_digest: string;
  readonly steps: number;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly fps: number;
  readonly guidance: number;
  readonly sampler: string;
  readonly dtype: string;
  readonly prompts: readonly string[];
  /** Of the first prompt; the next ones follow. */
  readonly seed: string;
}

export interface Recording {
  readonly render: RecordedRender;
  /** A list of steps for each prompt. */
  readonly clips: readonly (readonly StepRecord[])[];
}

// A hundred clips of a large model take some hundred megabytes.
const fileBytesMax = 1024 ** 3;

/** Records every clip; `onStep` is told of the steps done and of all there will be. */
export async function record(
  engine: Engine,
  clips: readonly RenderRequest[],
  onStep: (done: number, total: number) => void,
): Promise<Recording["clips"]> {
  const recorded: (readonly StepRecord[])[] = [];
  for (const [index, clip] of clips.entries()) {
    const steps = await engine.record(clip, (done, total) =>
      onStep(index * total + done, clips.length * total),
    );
    recorded.push(steps);
  }
  return recorded;
}

export async function writeRecording(file: string, recording: Recording): Promise<void> {
  await writeWhole(file, `${JSON.stringify(recording)}\n`);
}

/**
 * The recording that the file holds; undefined where there is no file. Throws FAILED_PRECONDITION
 * for one of other renders or that is damaged.
 */
export async function readRecording(
  file: string,
  wanted: RecordedRender,
): Promise<Recording | undefined> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return undefined;
  if (found.size > fileBytesMax) throw unusable(file, `has more than ${fileBytesMax} bytes`);
  let recording: Partial<Recording>;
  try {
    recording = Object(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    throw unusable(file, "is no recording", error);
  }
  const render = Object(recording.render);
  const other = Object.entries(wanted).find(
    ([field, value]) => JSON.stringify(render[field]) !== JSON.stringify(value),
  );
  if (other !== undefined) throw unusable(file, `holds a recording with another ${other[0]}`);
  const { clips } = recording;
  const isWhole =
    Array.isArray(clips) &&
    clips.length === wanted.prompts.length &&
    clips.every((clip) => Array.isArray(clip) && clip.length === wanted.steps);
  if (!isWhole || !clips.every((clip) => clip.every(isStepRecord))) {
    throw unusable(file, "is damaged");
  }
  return { render: wanted, clips };
}

function isStepRecord(value: unknown): value is StepRecord {
  const { trunk, output, modules } = Object(value);
  const isNumbers = (list: unknown) => Array.isArray(list) && list.every(Number.isFinite);
  return (
    isNumbers(trunk) &&
    Number.isFinite(output) &&
    Array.isArray(modules) &&
    modules.every((module) => isNumbers(Object(module).changes))
  );
}

function unusable(file: string, what: string, cause?: unknown): FarmError {
  return new FarmError(
    "FAILED_PRECONDITION",
    `${file} ${what}: choose another --recording file, or remove this one`,
    { cause },
  );
}
