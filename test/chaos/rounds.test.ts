// Rounds of chance: batches of every kind at work while a few blows fall on whatever is there, at
// times of their own; then quiet, and everything is looked at. One seed makes all rounds. The short
// form has one round, the long form goes on for TOCAFARM_CHAOS_SECONDS.
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "../support/chaos-audit.js";
import { Chance } from "../support/chaos-chance.js";
import { ChaosFarm } from "../support/chaos-farm.js";
import { signal } from "../support/chaos-kept.js";
import { brief, long, pidOf, resumable, type Victim } from "../support/chaos-scenes.js";

const secondsInLongForm = Number(process.env["TOCAFARM_CHAOS_SECONDS"] ?? 600);
const isLong = process.env["TOCAFARM_TEST_LONG"] === "1";

const victims: readonly Victim[] = ["leader", "standby", "nats", "worker", "engine", "encoder"];

/** A blow as it was dealt, for whoever reads what a failed round did. */
type Told = string;

/** Waits, strikes somebody and, where it was stopped, lets it go on. */
async function strike(farm: ChaosFarm, chance: Chance): Promise<Told> {
  const waitMs = chance.between(0, 3_000);
  const victim = chance.pick(victims);
  const worker = chance.pick(farm.workers);
  const [leader, wire] = [chance.pick(farm.coordinators), chance.pick(farm.natsWires)];
  const stillMs = chance.between(100, 6_000);
  const how = chance.pick(["kill", "kill", "stop", "freeze"]);
  await sleep(waitMs);
  if (how === "freeze") {
    wire.freeze();
    await sleep(stillMs);
    wire.thaw();
    return `after ${waitMs} ms a wire to NATS was dead for ${stillMs} ms`;
  }
  const pid = await pidOf(farm, { leader, worker }, victim);
  if (how === "kill") {
    await farm.kill(pid);
    return `after ${waitMs} ms ${victim} ${pid} was killed`;
  }
  if (pid !== undefined) signal(pid, "SIGSTOP");
  await sleep(stillMs);
  if (pid !== undefined) signal(pid, "SIGCONT");
  return `after ${waitMs} ms ${victim} ${pid} stood still for ${stillMs} ms`;
}

test("no round of random blows loses, doubles or changes a clip", async (t) => {
  const chance = Chance.of(t);
  const farm = await ChaosFarm.start(t, { name: "rounds" });
  const kinds = [brief, long, resumable];
  await farm.learn(...kinds);
  const endMs = performance.now() + secondsInLongForm * 1000;
  for (let round = 1; round === 1 || (isLong && performance.now() < endMs); round++) {
    await t.test(`round ${round}`, async (t) => {
      const batches = Array.from({ length: chance.between(1, 3) }, () => chance.pick(kinds));
      const blows = Array.from({ length: chance.between(2, 6) }, () => strike(farm, chance));
      const sending = batches.map((kind) => farm.submit(kind));
      for (const told of await Promise.all(blows)) t.diagnostic(told);
      await audit(farm, await Promise.all(sending));
    });
  }
});
