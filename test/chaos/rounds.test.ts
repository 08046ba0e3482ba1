// Rounds of chance: batches of every kind at work while a few blows fall on whatever is there, at
// times of their own; then quiet, and everything is looked at. One seed makes all rounds. The short
// form has one round, the long form goes on for TOCAFARM_CHAOS_SECONDS.
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "../support/chaos-audit.js";
import { Chance, isLongForm } from "../support/chaos-chance.js";
import { ChaosFarm } from "../support/chaos-farm.js";
import { signal } from "../support/chaos-kept.js";
import { brief, long, pidOf, resumable, type Victim } from "../support/chaos-scenes.js";

const secondsInLongForm = Number(process.env["TOCAFARM_CHAOS_SECONDS"] ?? 600);

const victims: readonly Victim[] = ["leader", "leader", "nats", "worker", "engine", "encoder"];
const blows = ["kill", "kill", "stop", "drain", "dead wire"] as const;

/** Waits, strikes somebody and, where that can be undone, undoes it; tells what it was. */
async function strike(farm: ChaosFarm, chance: Chance): Promise<string> {
  // All chance comes first, so that one seed always deals the same blows.
  const [waitMs, stillMs] = [chance.between(0, 3_000), chance.between(100, 6_000)];
  const [blow, victim] = [chance.pick(blows), chance.pick(victims)];
  // Whoever leads may be unknown by then: one of the two is struck.
  const [leader, worker] = [chance.pick(farm.coordinators), chance.pick(farm.workers)];
  const name = victim === "leader" ? leader.name : `${worker.name}'s ${victim}`;
  const wire = chance.pick([...farm.natsWires, ...farm.workerWires]);
  await sleep(waitMs);
  if (blow === "dead wire") {
    wire.freeze();
    await sleep(stillMs);
    wire.thaw();
    return `after ${waitMs} ms ${wire.address} was dead for ${stillMs} ms`;
  }
  if (blow === "drain") {
    if (worker.pid !== undefined) signal(worker.pid, "SIGTERM");
    return `after ${waitMs} ms ${worker.name} was drained`;
  }
  const pid = await pidOf(farm, { leader, worker }, victim);
  if (blow === "kill") {
    await farm.kill(pid);
    return `after ${waitMs} ms ${name} ${pid} was killed`;
  }
  if (pid !== undefined) signal(pid, "SIGSTOP");
  await sleep(stillMs);
  if (pid !== undefined) signal(pid, "SIGCONT");
  return `after ${waitMs} ms ${name} ${pid} stood still for ${stillMs} ms`;
}

/** Submits a batch of which nothing is wanted after a while. */
async function submitInVain(farm: ChaosFarm, chance: Chance): Promise<void> {
  const waitMs = chance.between(0, 3_000);
  const { batch } = await farm.submit(long);
  await sleep(waitMs);
  await farm.cancel(batch);
}

test("no round of random blows loses, doubles or changes a clip", async (t) => {
  const chance = Chance.of(t);
  const farm = await ChaosFarm.start(t, { name: "rounds", wired: 1 });
  const kinds = [brief, long, resumable];
  await farm.learn(...kinds);
  const endMs = performance.now() + secondsInLongForm * 1000;
  for (let round = 1; round === 1 || (isLongForm && performance.now() < endMs); round++) {
    await t.test(`round ${round}`, async (t) => {
      const batches = Array.from({ length: chance.between(1, 3) }, () => chance.pick(kinds));
      const dealt = Array.from({ length: chance.between(2, 6) }, () => strike(farm, chance));
      const sending = batches.map((kind) => farm.submit(kind));
      const inVain = submitInVain(farm, chance);
      for (const told of await Promise.all(dealt)) t.diagnostic(told);
      await inVain;
      await audit(farm, await Promise.all(sending));
    });
  }
});
