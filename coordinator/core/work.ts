// What a clip works on next: its preview, or one of its segments; how many steps that has, and what
// it costs on a kind of device. FLOPs come from the plan, seconds from the speed that the kind has
// shown.

import type { PlanFigures } from "./events.js";
import { type Batch, type Clip, modelSpeedKey, type State } from "./state.js";

/**
 * Until a kind of device has finished something, it counts as this fast: slower than any real one,
 * so that nothing is taken for stuck too soon.
 */
export const assumedFlopsPerSecond = 5e10;

/** Weight of the newest attempt in a learnt speed. */
const speedWeight = 0.2;

/** Kinds, and kinds with a model, whose speed is remembered; the oldest are forgotten. */
const speedsMax = 1_000;

export interface Work {
  readonly preview: boolean;
  readonly segment: number;
}

/** Undefined stands for a clip that has no record. */
export function workOf(batch: Batch, clip: Clip | undefined): Work {
  if (clip) return { preview: clip.previewing, segment: clip.segment };
  return { preview: batch.preview !== null, segment: 0 };
}

export function stepsOf(batch: Batch, preview: boolean): number {
  return preview && batch.preview ? batch.preview.steps : batch.spec.steps;
}

export function planOf(batch: Batch, preview: boolean): PlanFigures {
  return preview && batch.preview ? batch.preview.plan : batch.plan;
}

/** FLOPs of a preview or a segment from this step on, as if all steps were alike. */
export function flopsFrom(batch: Batch, preview: boolean, resumeStep: number): number {
  const left = 1 - resumeStep / Math.max(1, stepsOf(batch, preview));
  return planOf(batch, preview).flops * Math.max(0, left);
}

/** The step from which a device of this kind would go on: that of the stored checkpoint, or 0. */
export function resumeStepOf(clip: Clip | undefined, kind: string): number {
  return clip?.checkpoint?.kind === kind ? clip.checkpoint.step : 0;
}

/** Device-seconds of a preview or a segment from this step on. */
export function secondsFrom(
  state: State,
  batch: Batch,
  work: { readonly kind: string; readonly preview: boolean; readonly resumeStep: number },
): number {
  const flops = flopsFrom(batch, work.preview, work.resumeStep);
  return flops / speedOf(state, work.kind, batch.spec.model);
}

/** FLOP/s with this model where it was learnt, else with any, else assumed. */
export function speedOf(state: State, kind: string, model: string): number {
  return (
    state.modelSpeeds.get(modelSpeedKey(kind, model)) ??
    state.speeds.get(kind) ??
    assumedFlopsPerSecond
  );
}

/** Folds one attempt that was done to its end into the learnt speeds. */
export function learnSpeed(
  state: State,
  { kind, model }: { readonly kind: string; readonly model: string },
  flops: number,
  seconds: number,
): void {
  if (seconds <= 0 || flops <= 0) return;
  fold(state.speeds, kind, flops / seconds);
  fold(state.modelSpeeds, modelSpeedKey(kind, model), flops / seconds);
}

function fold(speeds: Map<string, number>, key: string, speed: number): void {
  const known = speeds.get(key);
  speeds.set(key, known === undefined ? speed : known + speedWeight * (speed - known));
  if (speeds.size <= speedsMax) return;
  for (const oldest of speeds.keys()) {
    speeds.delete(oldest);
    return;
  }
}
