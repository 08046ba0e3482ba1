// What reuse costs, from what calibration clips recorded. The error of reusing an old value is
// known in the residual stream, at every step and age. What such an error does to the frames was
// measured once for every step; it grows in proportion. Errors within a span add up, since
// they point the same way.
import type { StepRecord } from "../../engine/engine.js";
import type { ReuseCost } from "./schedule.js";

/** Error of the frames for a span in which the trunk is reused. */
export function trunkError(record: readonly StepRecord[]): ReuseCost {
  return spanError(record, ({ trunk }) => trunk);
}

/** The same for the module at `index` of every step's modules. */
export function moduleError(record: readonly StepRecord[], index: number): ReuseCost {
  return spanError(record, ({ modules }) => modules[index]?.changes ?? []);
}

/** For errors that point anywhere: their squares add up. */
export function squared(error: ReuseCost): ReuseCost {
  return (from, to) => error(from, to) ** 2;
}

function spanError(
  record: readonly StepRecord[],
  changesOf: (step: StepRecord) => readonly number[],
): ReuseCost {
  return (from, to) => {
    let error = 0;
    for (let at = from + 1; at < to; at++) {
      const step = record[at];
      const change = step && changesOf(step)[at - from - 1];
      // Ages beyond what was recorded are not considered.
      if (step === undefined || change === undefined) return Number.POSITIVE_INFINITY;
      error += change * gain(step);
    }
    return error;
  };
}

/** Error of the frames for an error of one in the stream. */
function gain({ output, trunk }: StepRecord): number {
  const [change = 0] = trunk;
  return change === 0 ? 0 : output / change;
}
