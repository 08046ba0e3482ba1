// How fast the simulation is: a farm of so many devices and clips with faults, the real core in it
// and the checkers on. Prints JSON: wall seconds, events and steps a second, memory.
//
import { performance } from "node:perf_hooks";
import { arrange } from "../simulation/study/arrange.js";
import { Measure } from "../simulation/study/measure.js";
import { resultOf } from "../simulation/study/result.js";
import { readStudy } from "../simulation/study/study.js";
import { World } from "../simulation/world.js";

const [devices = 10_000, clips = 1_000_000] = process.argv.slice(2).map(Number);
const tenants = ["a", "b", "c", "d"];
/** Several of each tenant, in every tier but the last. */
const batches = 20;

/** Between two looks at the memory. */
const stepsPerLook = 100_000;

const study = readStudy({
  name: "scale",
  coordinators: 2,
  devices: [
    { kind: "slow", count: Math.ceil(devices * 0.6), speed: 1 },
    { kind: "fast", count: Math.floor(devices * 0.4), speed: 2 },
  ],
  tenants: { a: { weight: 3 }, b: { weight: 2 }, c: {}, d: {} },
  batches: Array.from({ length: batches }, (_, index) => ({
    tenant: tenants[index % tenants.length],
    clips: Math.ceil(clips / batches),
    secondsPerClip: 10,
    priority: index % 4,
    atMinutes: index / 10,
  })),
  faults: {
    agentCrashesPerHour: 0.05,
    engineCrashesPerHour: 0.02,
    partitionsPerHour: 0.02,
    leaderCrashesPerHour: 1,
  },
});

const scenario = arrange(study);
const world = new World(scenario, {
  checkEvery: 10_000,
  lookMs: 10_000,
  snapshotMs: 600_000,
  cutLog: true,
});
const measure = new Measure(world);
let rssMax = 0;
let steps = 0;
const watched = world.timeline.step.bind(world.timeline);
world.timeline.step = (untilMs) => {
  steps += 1;
  if (steps % stepsPerLook === 0) rssMax = Math.max(rssMax, process.memoryUsage.rss());
  return watched(untilMs);
};
const startMs = performance.now();
const startCpu = process.cpuUsage();
world.run();
const seconds = (performance.now() - startMs) / 1000;
const { user, system } = process.cpuUsage(startCpu);
const { attempts, utilisation, failovers } = resultOf(study, world, measure);
const summary = {
  devices,
  clips,
  seconds,
  cpuSeconds: (user + system) / 1e6,
  virtualSeconds: world.timeline.nowMs / 1000,
  events: world.ledger.events,
  eventsPerSecond: world.ledger.events / seconds,
  steps,
  stepsPerSecond: steps / seconds,
  rssBytesMax: rssMax,
  attempts,
  utilisation,
  failovers,
};
process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
