// The steps at which each module is best refreshed, for a budget of FLOPs. Modules of one kind in
// neighbouring layers share a schedule, so that the rules of a deep model stay short.
import { FarmError } from "../../common/errors.js";
import type { StepRecord } from "../../engine/engine.js";
import type { Block, Module, PlannedStep } from "../../engine/plan.js";
import { moduleError, squared } from "./costs.js";
import {
  bestSchedules,
  costOf,
  type ReuseCost,
  type Schedule,
  solveForClips,
  stepsText,
} from "./schedule.js";

/** Rules of one kind of module at most: all of them must fit into one option of a policy. */
const bandsMax = 7;

interface Group {
  readonly block: Block;
  readonly module: Module;
  /** First and last. */
  readonly layers: readonly [number, number];
  /** Places among a step's modules. */
  readonly places: readonly number[];
  /** Of one step. */
  readonly flops: number;
}

/**
 * Rules of `module_mask` for the least error within `budget`, a share of the FLOPs of computing
 * everything. `step`: a planned step that does. Throws INVALID_ARGUMENT for a budget that nothing
 * fits into.
 */
export function moduleRules(
  clips: readonly (readonly StepRecord[])[],
  step: PlannedStep,
  budget: number,
): string {
  const groups = groupsOf(step);
  const steps = clips[0]?.length ?? 0;
  const costs = clips.map((clip) => groups.map((group) => groupCost(clip, group)));
  const flops = budget * steps * sum(groups.map((group) => group.flops));
  const solve = (weights: readonly number[]): readonly Schedule[] => {
    const choices = groups.map((_, index) =>
      bestSchedules(steps, (from, to) =>
        sum(costs.map((clip, at) => (weights[at] ?? 0) * (clip[index]?.(from, to) ?? 0))),
      ),
    );
    return spend(groups, choices, flops);
  };
  const schedules = solveForClips(clips.length, solve, (solution) =>
    costs.map((clip) =>
      sum(clip.map((cost, index) => costOf(solution[index]?.computed ?? [], steps, cost))),
    ),
  );
  return groups.map((group, index) => ruleOf(group, schedules[index]?.computed ?? [])).join(";");
}

function groupsOf({ modules }: PlannedStep): readonly Group[] {
  const depth = 1 + Math.max(...modules.map(({ layer }) => layer));
  const bands = Math.min(depth, bandsMax);
  const groups = new Map<string, Group>();
  modules.forEach(({ layer, block, module, flops }, place) => {
    const band = Math.floor((layer * bands) / depth);
    const key = `${block} ${module} ${band}`;
    const before = groups.get(key);
    groups.set(key, {
      block,
      module,
      layers: [before?.layers[0] ?? layer, layer],
      places: [...(before?.places ?? []), place],
      flops: (before?.flops ?? 0) + flops,
    });
  });
  return [...groups.values()];
}

function groupCost(clip: readonly StepRecord[], { places }: Group): ReuseCost {
  const costs = places.map((place) => squared(moduleError(clip, place)));
  return (from, to) => sum(costs.map((cost) => cost(from, to)));
}

/** One more refresh, or several where only together they are worth it. */
interface Upgrade {
  readonly group: number;
  readonly to: Schedule;
  readonly flops: number;
  readonly gainPerFlop: number;
}

/**
 * A schedule for each group: from the cheapest ones, what lowers the cost most for its FLOPs comes
 * first. Along each group's lower convex hull that order is the best one.
 */
function spend(
  groups: readonly Group[],
  choices: readonly (readonly (Schedule | undefined)[])[],
  budget: number,
): readonly Schedule[] {
  const hulls = choices.map(lowerHull);
  const chosen = hulls.map(([cheapest]) => cheapest ?? { computed: [0], cost: 0 });
  let left =
    budget - sum(chosen.map(({ computed }, index) => flopsOf(groups, index, computed.length)));
  if (left < 0) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      "the budget is too small: reuse over so many steps is not recorded; allow more FLOPs",
    );
  }
  const upgrades = hulls.flatMap((hull, group) => upgradesOf(groups, group, hull));
  const done = new Set<number>();
  for (const upgrade of upgrades.sort((a, b) => b.gainPerFlop - a.gainPerFlop)) {
    if (done.has(upgrade.group)) continue;
    if (upgrade.flops > left) {
      done.add(upgrade.group); // its next ones begin where this one ends
      continue;
    }
    left -= upgrade.flops;
    chosen[upgrade.group] = upgrade.to;
  }
  return chosen;
}

function upgradesOf(
  groups: readonly Group[],
  group: number,
  hull: readonly Schedule[],
): readonly Upgrade[] {
  return hull.slice(1).map((to, index) => {
    const from = hull[index] ?? to;
    const flops = flopsOf(groups, group, to.computed.length - from.computed.length);
    return { group, to, flops, gainPerFlop: (from.cost - to.cost) / flops };
  });
}

function flopsOf(groups: readonly Group[], group: number, refreshes: number): number {
  return refreshes * (groups[group]?.flops ?? 0);
}

/** The schedules that are best for some price of a refresh, by the number of refreshes. */
function lowerHull(schedules: readonly (Schedule | undefined)[]): readonly Schedule[] {
  const hull: Schedule[] = [];
  for (const next of schedules) {
    if (next === undefined || !Number.isFinite(next.cost)) continue;
    for (;;) {
      const [before, last] = hull.slice(-2);
      if (before === undefined || last === undefined) break;
      if (slope(before, last) < slope(last, next)) break;
      hull.pop();
    }
    hull.push(next);
  }
  return hull;
}

function slope(from: Schedule, to: Schedule): number {
  return (to.cost - from.cost) / (to.computed.length - from.computed.length);
}

function ruleOf({ block, module, layers: [first, last] }: Group, computed: readonly number[]) {
  const layers = first === last ? `${first}` : `${first}-${last}`;
  return `${block}.${module}@${layers}=${stepsText(computed)}`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
