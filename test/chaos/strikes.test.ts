// kill -9 and SIGSTOP of every kind of process at every point of a clip's life, in one farm of two
// coordinators, a nats-server and two workers that are started again when they end. Behind each
// strike: every clip is published, once, with the bits of an undisturbed run; nothing that was
// accepted is lost; the log obeys its rules; no process and no file is left.
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "../support/chaos-audit.js";
import { isLongForm } from "../support/chaos-chance.js";
import { ChaosFarm } from "../support/chaos-farm.js";
import { signal } from "../support/chaos-kept.js";
import {
  brief,
  long,
  type Point,
  pidOf,
  resumable,
  scene,
  type Victim,
} from "../support/chaos-scenes.js";

/** Longer than a lease and than a leader's claim. */
const longMs = 4_500;
const momentMs = 1_000;

type Blow = "killed" | "stopped for long" | "stopped for a moment";

type Strike = readonly [victim: Victim, blow: Blow, point: Point];

const nouns: Readonly<Record<Victim, string>> = {
  leader: "the leader",
  standby: "the standby",
  nats: "nats-server",
  worker: "the worker",
  engine: "the engine process",
  encoder: "FFmpeg",
};

const moments: Readonly<Record<Point, string>> = {
  idle: "nothing is to be done",
  loading: "an engine loads",
  leased: "a lease is not yet begun",
  denoising: "a clip is denoised",
  checkpoint: "a checkpoint comes into the store",
  encoding: "frames are decoded and encoded",
  uploading: "a clip's files come into the store",
  reporting: "a finished clip is reported",
};

/** Every point and every victim at least once. */
const tellingStrikes: readonly Strike[] = [
  ["nats", "killed", "idle"],
  ["standby", "killed", "idle"],
  ["engine", "killed", "loading"],
  ["worker", "killed", "leased"],
  ["leader", "killed", "denoising"],
  ["worker", "stopped for long", "denoising"],
  ["worker", "killed", "checkpoint"],
  ["encoder", "killed", "encoding"],
  ["leader", "killed", "uploading"],
  ["worker", "killed", "reporting"],
];

const moreStrikes: readonly Strike[] = [
  ["worker", "killed", "idle"],
  ["leader", "killed", "idle"],
  ["engine", "killed", "idle"],
  ["worker", "killed", "loading"],
  ["leader", "killed", "loading"],
  ["engine", "killed", "leased"],
  ["leader", "killed", "leased"],
  ["nats", "killed", "leased"],
  ["nats", "killed", "denoising"],
  ["engine", "killed", "denoising"],
  ["worker", "killed", "denoising"],
  ["standby", "killed", "denoising"],
  ["leader", "stopped for long", "denoising"],
  ["nats", "stopped for long", "denoising"],
  ["nats", "stopped for a moment", "denoising"],
  ["engine", "stopped for a moment", "denoising"],
  ["engine", "stopped for long", "denoising"],
  ["engine", "killed", "checkpoint"],
  ["leader", "killed", "checkpoint"],
  ["nats", "killed", "checkpoint"],
  ["engine", "killed", "encoding"],
  ["worker", "killed", "encoding"],
  ["leader", "killed", "encoding"],
  ["encoder", "stopped for long", "encoding"],
  ["worker", "killed", "uploading"],
  ["worker", "stopped for long", "uploading"],
  ["nats", "killed", "uploading"],
  ["leader", "killed", "reporting"],
  ["worker", "stopped for long", "reporting"],
  ["nats", "killed", "reporting"],
];

const strikes = isLongForm ? [...tellingStrikes, ...moreStrikes] : tellingStrikes;

test("whatever is struck, whenever, no clip is lost, doubled or changed", async (t) => {
  const farm = await ChaosFarm.start(t, { name: "strikes" });
  await farm.learn(brief, long, resumable);
  for (const [victim, blow, point] of strikes) {
    await t.test(`${nouns[victim]} is ${blow} while ${moments[point]}`, async () => {
      const place = await scene(farm, point);
      const pid = await pidOf(farm, place, victim);
      if (blow === "killed") await farm.kill(pid);
      else await standStill(pid, blow);
      place.release();
      await audit(farm, [...place.submitted, await farm.submit(brief)]);
    });
  }
});

async function standStill(pid: number | undefined, blow: Blow): Promise<void> {
  if (pid === undefined) return;
  signal(pid, "SIGSTOP");
  await sleep(blow === "stopped for long" ? longMs : momentMs);
  signal(pid, "SIGCONT");
}
