// Makes a failing scenario small: leaves out what the failure does not need, as long as the same
// promise is still broken. What is left is short enough to read.

import type { Violation } from "./checkers/violation.js";
import type { BatchSpec, Incident, Scenario } from "./scenario.js";

export interface Shrunk {
  readonly scenario: Scenario;
  readonly violation: Violation;
  readonly runs: number;
}

export interface ShrinkOptions {
  /** The violation of a scenario's run; null when every promise is kept. */
  readonly run: (scenario: Scenario) => Violation | null;
  readonly runsMax: number;
}

/** The smallest scenario that was found in `runsMax` runs. */
export function shrink(
  scenario: Scenario,
  violation: Violation,
  { run, runsMax }: ShrinkOptions,
): Shrunk {
  let best: Shrunk = { scenario, violation, runs: 0 };
  let runs = 0;
  const fails = (candidate: Scenario): boolean => {
    if (runs >= runsMax) return false;
    runs += 1;
    const seen = run(candidate);
    if (seen?.promise !== violation.promise) return false;
    best = { scenario: candidate, violation: seen, runs };
    return true;
  };
  for (let size = Number.POSITIVE_INFINITY; weigh(best.scenario) < size && runs < runsMax; ) {
    size = weigh(best.scenario);
    leaveOutIncidents(best.scenario, fails);
    for (const simpler of simplerOnes(best.scenario)) fails(simpler(best.scenario));
  }
  return { ...best, runs };
}

/** Delta debugging: drops runs of incidents, from halves down to single ones. */
function leaveOutIncidents(scenario: Scenario, fails: (candidate: Scenario) => boolean): void {
  let { incidents } = scenario;
  for (let length = Math.ceil(incidents.length / 2); length >= 1; length = Math.floor(length / 2)) {
    for (let start = 0; start < incidents.length; ) {
      const rest = [...incidents.slice(0, start), ...incidents.slice(start + length)];
      if (fails({ ...scenario, incidents: rest })) incidents = rest;
      else start += length;
    }
  }
}

type Simplify = (scenario: Scenario) => Scenario;

/** Ways to make the rest smaller, each on its own. */
function simplerOnes({ agents, incidents }: Scenario): readonly Simplify[] {
  // The first one can render everything, and without it nothing need end.
  const fewerAgents = agents.slice(1).map(
    ({ id }): Simplify =>
      (scenario) => ({
        ...scenario,
        // It never comes: then the others keep their numbers.
        agents: scenario.agents.map((agent) =>
          agent.id === id ? { ...agent, joinsAtMs: Number.POSITIVE_INFINITY } : agent,
        ),
      }),
  );
  const oneCoordinator: Simplify = (scenario) => ({ ...scenario, coordinators: 1 });
  const batches = incidents.flatMap((_, index) =>
    batchChanges.map(
      (change): Simplify =>
        (scenario) =>
          changeBatch(scenario, index, change),
    ),
  );
  const shorter = incidents.map(
    (_, index): Simplify =>
      (scenario) =>
        changeIncident(scenario, index, (incident) =>
          "forMs" in incident ? { ...incident, forMs: Math.floor(incident.forMs / 2) } : incident,
        ),
  );
  return [...fewerAgents, oneCoordinator, ...batches, ...shorter];
}

const batchChanges: readonly ((batch: BatchSpec) => Partial<BatchSpec>)[] = [
  () => ({ clips: 1 }),
  ({ clips }) => ({ clips: Math.ceil(clips / 2) }),
  () => ({ segments: 1 }),
  () => ({ preview: null }),
  () => ({ badClips: [] }),
  () => ({ deadlineMs: null }),
  () => ({ refreshPoints: [] }),
  () => ({ tenant: "a" }),
  () => ({ device: "" }),
];

function changeBatch(
  scenario: Scenario,
  index: number,
  change: (batch: BatchSpec) => Partial<BatchSpec>,
): Scenario {
  return changeIncident(scenario, index, (incident) => {
    if (incident.do !== "submit") return incident;
    return { ...incident, batch: { ...incident.batch, ...change(incident.batch) } };
  });
}

function changeIncident(
  scenario: Scenario,
  index: number,
  change: (incident: Incident) => Incident,
): Scenario {
  const incidents = scenario.incidents.map((incident, place) =>
    place === index ? change(incident) : incident,
  );
  return { ...scenario, incidents };
}

/** How much there is to read. */
function weigh({ agents, incidents, coordinators }: Scenario): number {
  const present = agents.filter(({ joinsAtMs }) => Number.isFinite(joinsAtMs)).length;
  return JSON.stringify(incidents).length + 100 * present + coordinators;
}
