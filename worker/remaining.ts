// How long an attempt will still take, from its own steps and from what the stages after them took
// on this device before.
import type { AttemptStage, AttemptTally } from "./attempt-tally.js";

/** `certain` is false when a part of it was never measured: then it is a lower bound. */
export interface Remaining {
  readonly seconds: number;
  readonly certain: boolean;
}

// Text encoding, decode, H.264 and upload of a clip hide behind the next one's lease and start if
// that was asked for a moment before.
const lastStepsMax = 2;
const lastSecondsMax = 2;

const stagesAfterSteps: readonly AttemptStage[] = ["decode", "encode", "upload"];

/** What the stages after the steps took on a device last time, by pixel of the clip. */
export class Pace {
  readonly #secondsPerPixel = new Map<AttemptStage, number>();

  observe(stage: AttemptStage, seconds: number, pixels: number): void {
    if (pixels > 0) this.#secondsPerPixel.set(stage, seconds / pixels);
  }

  seconds(stage: AttemptStage, pixels: number): number | undefined {
    const perPixel = this.#secondsPerPixel.get(stage);
    return perPixel === undefined ? undefined : perPixel * pixels;
  }
}

export function remaining(tally: AttemptTally, pace: Pace, pixels: number): Remaining {
  const at = stagesAfterSteps.indexOf(tally.stage);
  const parts =
    at >= 0
      ? [leftOf(pace.seconds(tally.stage, pixels), tally.stageSeconds)]
      : [stepsLeftSeconds(tally)];
  for (const stage of stagesAfterSteps.slice(at + 1)) parts.push(pace.seconds(stage, pixels));
  const known = parts.filter((seconds) => seconds !== undefined);
  return {
    seconds: known.reduce((sum, seconds) => sum + seconds, 0),
    certain: known.length === parts.length,
  };
}

/** Whether its engine will be free so soon that its device may ask for the next lease. */
export function isInLastSteps(tally: AttemptTally): boolean {
  if (stagesAfterSteps.includes(tally.stage)) return true;
  if (tally.stage !== "denoise") return false;
  const seconds = stepsLeftSeconds(tally);
  if (seconds === undefined) return false;
  return tally.steps - tally.step <= lastStepsMax || seconds <= lastSecondsMax;
}

function stepsLeftSeconds(tally: AttemptTally): number | undefined {
  const { secondsPerStep } = tally;
  if (secondsPerStep === undefined) return undefined;
  return (tally.steps - tally.step) * secondsPerStep;
}

/** Undefined when it has already taken longer than it took before. */
function leftOf(seconds: number | undefined, passedSeconds: number): number | undefined {
  if (seconds === undefined || passedSeconds > seconds) return undefined;
  return seconds - passedSeconds;
}
