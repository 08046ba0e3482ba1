// Runs a study: a world of its scenario with the real core in it, watched, and checked as the
// tests' worlds are, only less often.

import { World } from "../world.js";
import { arrange } from "./arrange.js";
import { Measure } from "./measure.js";
import { resultOf, type StudyResult } from "./result.js";
import type { Study } from "./study.js";

/** One in so many leases, and state by state in so many events, is checked. */
const checkEvery = 10_000;

/**
 * What came of it. Throws INVALID_ARGUMENT for a study that no farm could do, and a Violation when
 * the farm broke a promise.
 */
export function runStudy(study: Study): StudyResult {
  const world = new World(arrange(study), {
    checkEvery,
    lookMs: 10_000,
    snapshotMs: 3_600_000,
    cutLog: true,
  });
  const measure = new Measure(world);
  world.run();
  return resultOf(study, world, measure);
}
