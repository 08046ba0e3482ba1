// Schedules that may be the best one for a budget. What a recording says of them is a model of what
// reuse does; which of them is best is then seen on the calibration clips.
import type { StepRecord } from "../../engine/engine.js";
import type { PlannedStep, Policy } from "../../engine/plan.js";
import type { Budget } from "./budget.js";
import { moduleRules } from "./module-schedule.js";
import { stepsText } from "./schedule.js";
import { trunkSchedule } from "./trunk-schedule.js";

export interface Candidate {
  /** How it was found, for people. */
  readonly name: string;
  readonly policy: Policy;
}

/** What all others are measured against. */
export const evenly = "evenly spaced";

/** Schedules for the trunk; the first is evenly spaced. */
export function trunkCandidates(
  clips: readonly (readonly StepRecord[])[],
  { steps: count }: Budget,
): readonly Candidate[] {
  return stepCandidates(clips, count).map(({ name, computed, steps }) => ({
    name,
    policy: { name: "mask", options: { compute: stepsText(computed), for_steps: `${steps}` } },
  }));
}

/**
 * Schedules for modules: those that are good for the trunk, for all modules together, and one in
 * which every module has its own. The first is evenly spaced.
 */
export function moduleCandidates(
  clips: readonly (readonly StepRecord[])[],
  budget: Budget,
  step: PlannedStep,
): readonly Candidate[] {
  const steps = clips[0]?.length ?? 0;
  const policy = (refresh: string): Policy => ({
    name: "module_mask",
    options: { refresh, for_steps: `${steps}` },
  });
  const together = stepCandidates(clips, budget.steps).map(({ name, computed }) => ({
    name: `${name}, all modules together`,
    policy: policy(`all=${stepsText(computed)}`),
  }));
  const apart = {
    name: "each module apart",
    policy: policy(moduleRules(clips, step, budget.share)),
  };
  return [...together, apart];
}

interface StepCandidate {
  readonly name: string;
  readonly computed: readonly number[];
  readonly steps: number;
}

function stepCandidates(
  clips: readonly (readonly StepRecord[])[],
  count: number,
): readonly StepCandidate[] {
  const steps = clips[0]?.length ?? 0;
  const all = [
    { name: evenly, computed: evenSteps(0, steps, count) },
    { name: "first fifth, then evenly spaced", computed: frontSteps(steps, count) },
    { name: "least sum of errors", computed: trunkSchedule(clips, count, "sum") },
    { name: "least sum of squares", computed: trunkSchedule(clips, count, "squares") },
  ];
  const texts = all.map(({ computed }) => stepsText(computed));
  return all
    .filter((_, index) => texts.indexOf(texts[index] ?? "") === index)
    .map((candidate) => ({ ...candidate, steps }));
}

/** `count` steps of first to end - 1, the first among them. */
function evenSteps(first: number, end: number, count: number): readonly number[] {
  return Array.from(
    { length: count },
    (_, index) => first + Math.floor((index * (end - first)) / count),
  );
}

/** As the presets are made: a clip is made out in its first steps. */
function frontSteps(steps: number, count: number): readonly number[] {
  const front = Math.min(count, Math.ceil(steps / 5));
  const rest = evenSteps(front, steps, count - front + 1).slice(1);
  return [...evenSteps(0, front, front), ...rest];
}
