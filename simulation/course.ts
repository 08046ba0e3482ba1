// How an attempt's work lies in time: preparation (weights, text), steps, and what follows them,
// all in milliseconds of a device that works at its full speed.

export interface Course {
  readonly prepareMs: number;
  readonly stepMs: number;
  /** Decode, H.264, upload. */
  readonly tailMs: number;
  readonly fromStep: number;
  readonly steps: number;
  readonly refreshPoints: readonly number[];
}

/** Work until `step` steps are done. */
export function workAt({ prepareMs, stepMs, fromStep }: Course, step: number): number {
  return prepareMs + (step - fromStep) * stepMs;
}

export function workInAll(course: Course): number {
  return workAt(course, course.steps) + course.tailMs;
}

/** Steps done after so much work. */
export function stepAfter(course: Course, workMs: number): number {
  const { prepareMs, stepMs, fromStep, steps } = course;
  if (workMs < prepareMs) return fromStep;
  // What was planned for the end of a step may come a rounding error before it.
  return Math.min(steps, fromStep + Math.floor((workMs - prepareMs) / stepMs + 1e-6));
}

/** The first refresh point behind `step`, none earlier than `notBeforeMs` of work. */
export function nextRefreshPoint(
  course: Course,
  step: number,
  notBeforeMs: number,
): number | undefined {
  return course.refreshPoints.find(
    (point) => point > step && point < course.steps && workAt(course, point) >= notBeforeMs,
  );
}
