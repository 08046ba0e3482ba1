// The best moments to compute something that may be reused in between: dynamic programming over the
// last step that computed it. Pure.

/** What reusing `from` until `to`, which computes anew, costs; to = steps: until the end. */
export type ReuseCost = (from: number, to: number) => number;

export interface Schedule {
  /** Computed steps, ascending; 0 is the first. */
  readonly computed: readonly number[];
  /** Sum over the spans between them; Infinity where no such schedule is allowed. */
  readonly cost: number;
}

/**
 * The schedule of least cost for each number of computed steps: entry c has c of them, from 1 to
 * `steps`. The cost of a span without a reused step is never asked for: it is 0.
 */
export function bestSchedules(steps: number, cost: ReuseCost): readonly (Schedule | undefined)[] {
  const spans = Array.from({ length: steps }, (_, from) =>
    Array.from({ length: steps - from }, (_, more) =>
      more === 0 ? 0 : cost(from, from + 1 + more),
    ),
  );
  // best[c][k]: of the steps before k, with k computed and c computed ones before it.
  const first: Row = { cost: [], last: [] };
  for (let k = 1; k <= steps; k++) keep(first, k, spanCost(spans, 0, k), 0);
  const rows: Row[] = [{ cost: [], last: [] }, first];
  for (let count = 2; count <= steps; count++) rows.push(nextRow(rows[count - 1] ?? first, spans));
  return rows.map((_, count) => (count === 0 ? undefined : scheduleOf(rows, count, steps)));
}

/** By the step that follows: cost so far, and the last computed step before it. */
interface Row {
  readonly cost: number[];
  readonly last: number[];
}

function nextRow(before: Row, spans: readonly (readonly number[])[]): Row {
  const row: Row = { cost: [], last: [] };
  for (let k = 1; k <= spans.length; k++) {
    keep(row, k, Number.POSITIVE_INFINITY, 0);
    for (let last = 1; last < k; last++) {
      const cost = (before.cost[last] ?? Number.POSITIVE_INFINITY) + spanCost(spans, last, k);
      if (cost < (row.cost[k] ?? 0)) keep(row, k, cost, last);
    }
  }
  return row;
}

function keep(row: Row, k: number, cost: number, last: number): void {
  row.cost[k] = cost;
  row.last[k] = last;
}

function spanCost(spans: readonly (readonly number[])[], from: number, to: number): number {
  return spans[from]?.[to - from - 1] ?? Number.POSITIVE_INFINITY;
}

function scheduleOf(rows: readonly Row[], count: number, steps: number): Schedule {
  const computed: number[] = [];
  let k = steps;
  for (let left = count; left > 0; left--) {
    k = rows[left]?.last[k] ?? 0;
    computed.unshift(k);
  }
  return { computed, cost: rows[count]?.cost[steps] ?? Number.POSITIVE_INFINITY };
}

/** Σ over the schedule's spans. */
export function costOf(computed: readonly number[], steps: number, cost: ReuseCost): number {
  return computed.reduce((sum, from, index) => {
    const to = computed[index + 1] ?? steps;
    return to === from + 1 ? sum : sum + cost(from, to);
  }, 0);
}

// Each round lowers the objective; it stands still after a few.
const roundsMax = 20;
// Below any error that frames of bytes can have, and far from the ends of what a number holds.
const costMin = 1e-100;

/**
 * Minimises the mean logarithm of the clips' costs, which is what a mean of decibels asks for: a
 * clip's weight in the next round is one over its cost. `solve` minimises a weighted sum.
 */
export function solveForClips<Solution>(
  clips: number,
  solve: (weights: readonly number[]) => Solution,
  costsOf: (solution: Solution) => readonly number[],
): Solution {
  let best = solve(Array.from({ length: clips }, () => 1));
  let bestCosts = costsOf(best);
  for (let round = 0; round < roundsMax; round++) {
    const next = solve(bestCosts.map((cost) => 1 / Math.max(cost, costMin)));
    const costs = costsOf(next);
    if (!(meanLog(costs) < meanLog(bestCosts))) break;
    best = next;
    bestCosts = costs;
  }
  return best;
}

function meanLog(costs: readonly number[]): number {
  return costs.reduce((sum, cost) => sum + Math.log(Math.max(cost, costMin)), 0) / costs.length;
}

/** "0-3,6,9-11" */
export function stepsText(computed: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const step of computed) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === step - 1) last[1] = step;
    else runs.push([step, step]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}
