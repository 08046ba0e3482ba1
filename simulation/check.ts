// Runs worlds of seeds and tells what went wrong, as a short history that a person can read.

import { Violation } from "./checkers/violation.js";
import { generate } from "./generate.js";
import type { Handle } from "./leader.js";
import type { Scenario } from "./scenario.js";
import { type Shrunk, shrink } from "./shrink.js";
import { World, type WorldOptions } from "./world.js";

/** Runs of a failing seed's shrinking; a small world takes a tenth of a second. */
const shrinkRunsMax = 400;

/** Of a history the end is what matters. */
const linesMax = 60;

export interface CheckedSeed {
  readonly seed: number | string;
  readonly events: number;
  readonly steps: number;
  /** The history of the shrunk failure; null when every promise was kept. */
  readonly failure: string | null;
}

/** Runs the small world of a seed with every check after every event. */
export function checkSeed(seed: number | string, handle?: Handle): CheckedSeed {
  const scenario = generate(seed);
  const world = new World(scenario, optionsOf(handle));
  const violation = violationOf(() => world.run());
  const { steps } = world.timeline;
  const { events } = world.ledger;
  if (violation === null) return { seed, events, steps, failure: null };
  const run = (candidate: Scenario) =>
    violationOf(() => new World(candidate, optionsOf(handle)).run());
  const shrunk = shrink(scenario, violation, { run, runsMax: shrinkRunsMax });
  return { seed, events, steps, failure: history(seed, shrunk, handle) };
}

/** The violation that `run` throws; null when it throws nothing. */
export function violationOf(run: () => void): Violation | null {
  try {
    run();
    return null;
  } catch (thrown) {
    if (thrown instanceof Violation) return thrown;
    throw thrown;
  }
}

function optionsOf(handle: Handle | undefined): WorldOptions {
  const often = { checkEvery: 1, lookMs: 1_000, snapshotMs: 60_000, cutLog: false };
  return handle ? { ...often, handle } : often;
}

/** What is left of the seed's world, and how it went. */
function history(
  seed: number | string,
  { scenario, violation, runs }: Shrunk,
  handle: Handle | undefined,
): string {
  const lines: string[] = [];
  const world = new World(scenario, { ...optionsOf(handle), onLine: (line) => lines.push(line) });
  violationOf(() => world.run());
  const agents = scenario.agents
    .filter(({ joinsAtMs }) => Number.isFinite(joinsAtMs))
    .map(({ id, devices, models, joinsAtMs }) => {
      const names = devices.map(({ name, kind }) => `${name} (${kind})`).join(" ");
      return `  ${id} from ${joinsAtMs} ms on, with ${models.join(" and ")}: ${names}`;
    });
  return [
    `seed ${seed}: ${violation.message}`,
    `shrunk in ${runs} runs to ${scenario.incidents.length} incidents:`,
    ...scenario.incidents.map((incident) => `  ${JSON.stringify(incident)}`),
    `agents, and ${scenario.coordinators} coordinators:`,
    ...agents,
    `how it went${lines.length > linesMax ? `, the last ${linesMax} lines` : ""}:`,
    ...lines.slice(-linesMax).map((line) => `  ${line}`),
  ].join("\n");
}
