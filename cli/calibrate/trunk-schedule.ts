// The steps at which the trunk is best computed, for a number of them.
import { FarmError } from "../../common/errors.js";
import type { StepRecord } from "../../engine/engine.js";
import { squared, trunkError } from "./costs.js";
import { bestSchedules, costOf, solveForClips } from "./schedule.js";

/** How the errors of several spans are taken together: as if they pointed the same way, or not. */
export type SpanErrors = "sum" | "squares";

/**
 * `count` steps of the recorded ones, for all clips together. Throws INVALID_ARGUMENT for so few
 * that reuse would span more steps than were recorded.
 */
export function trunkSchedule(
  clips: readonly (readonly StepRecord[])[],
  count: number,
  errors: SpanErrors,
): readonly number[] {
  const steps = clips[0]?.length ?? 0;
  const costs = clips.map(trunkError).map((error) => (errors === "sum" ? error : squared(error)));
  const solve = (weights: readonly number[]): readonly number[] => {
    const all = bestSchedules(steps, (from, to) =>
      costs.reduce((sum, cost, clip) => sum + (weights[clip] ?? 0) * cost(from, to), 0),
    );
    const schedule = all[count];
    if (schedule !== undefined && schedule.cost < Number.POSITIVE_INFINITY)
      return schedule.computed;
    const least = all.findIndex((each) => each !== undefined && Number.isFinite(each.cost));
    throw new FarmError(
      "INVALID_ARGUMENT",
      `a budget of ${count} steps is too small for ${steps}: at least ${least} are wanted, since ` +
        "reuse over longer spans is not recorded",
    );
  };
  return solveForClips(clips.length, solve, (computed) =>
    costs.map((cost) => costOf(computed, steps, cost)),
  );
}
