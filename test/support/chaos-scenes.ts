// The points of a clip's life at which a process can be struck: each scene brings the farm to one
// and holds it there, where it would last but a moment, by stopping whoever would go on.
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import type { Clip } from "../../proto/gen/tocafarm/v1/farm.js";
import type { Changes, ChaosFarm, StartedMain, Submitted } from "./chaos-farm.js";
import { type Kept, signal } from "./chaos-kept.js";
import { eventually } from "./worker-process.js";

/** A third of a second on a quiet core. */
export const brief: Changes = {};

/** A second. */
export const long: Changes = { steps: 300 };

/** Three; every step is a refresh point. */
export const resumable: Changes = { steps: 400, policy: { name: "none", options: {} } };

const reachMsMax = 30_000;

/** Looks at the workers for each question to the coordinator. */
const looksPerQuestion = 20;

export interface Scene {
  readonly submitted: readonly Submitted[];
  /** Whose clip is at this point. */
  readonly worker: Kept<StartedMain>;
  /** Before the scene: it may stand still now. */
  readonly leader: Kept<StartedMain>;
  /** Lets everything go on that was held. */
  readonly release: () => void;
}

export type Point =
  | "idle"
  | "loading"
  | "leased"
  | "denoising"
  | "checkpoint"
  | "encoding"
  | "uploading"
  | "reporting";

type Play = Omit<Scene, "leader">;

/** Brings a calm farm to the point. */
export async function scene(farm: ChaosFarm, point: Point): Promise<Scene> {
  const leader = await farm.leader();
  return { leader, ...(await plays[point](farm, leader)) };
}

const plays: Readonly<
  Record<Point, (farm: ChaosFarm, leader: Kept<StartedMain>) => Promise<Play>>
> = {
  idle: async (farm) => ({ submitted: [], worker: workerOf(farm, "w1"), release: () => {} }),

  loading: async (farm) => {
    const worker = workerOf(farm, "w1");
    const { main } = await worker.serving();
    const engine = await main.engine();
    signal(engine, "SIGKILL");
    const submitted = [await farm.submit(brief)];
    const another = async () => (await enginesOf(worker)).some((pid) => pid !== engine);
    await eventually(another, { limitMs: reachMsMax, what: "another engine process starts" });
    return { submitted, worker, release: () => {} };
  },

  leased: async (farm) => {
    const engines = (await Promise.all(farm.workers.map(enginesOf))).flat();
    for (const engine of engines) signal(engine, "SIGSTOP");
    const submitted = await farm.submit(brief);
    const leased = async () => {
      const { clips } = await farm.client.get(submitted.batch);
      return clips.every(({ state }) => state === "CLIP_STATE_LEASED");
    };
    await eventually(leased, { limitMs: reachMsMax, what: "both clips are leased" });
    const release = () => {
      for (const engine of engines) signal(engine, "SIGCONT");
    };
    return { submitted: [submitted], worker: workerOf(farm, "w1"), release };
  },

  denoising: async (farm) => {
    const submitted = await farm.submit(long);
    const { worker } = await running(farm, submitted, 0);
    return { submitted: [submitted], worker: workerOf(farm, worker), release: () => {} };
  },

  checkpoint: async (farm) => {
    const isCheckpoint = (file: string) => file.endsWith(".safetensors");
    const holds = (kept: Kept<StartedMain>) => attemptFiles(farm, kept).some(isCheckpoint);
    return { ...(await submitUntil(farm, resumable, holds)), release: () => {} };
  },

  encoding: async (farm) => {
    let encoder = 0;
    const scene = await submitUntil(farm, brief, async (kept) => {
      [encoder = 0] = await encodersOf(kept);
      return encoder > 0;
    });
    signal(encoder, "SIGSTOP");
    return { ...scene, release: () => void signal(encoder, "SIGCONT") };
  },

  uploading: async (farm) => {
    const submitted = await farm.submit(brief);
    const clips = path.join(farm.artifactsFolder, "clips");
    const begun = () => below(clips).some((name) => name.startsWith(submitted.batch));
    await eventually(begun, { limitMs: reachMsMax, what: "the first clip's files come" });
    const { batch } = submitted;
    const { clips: known } = await farm.client.get(batch);
    const name = known.find(({ worker }) => worker !== "")?.worker ?? "w1";
    return { submitted: [submitted], worker: workerOf(farm, name), release: () => {} };
  },

  reporting: async (farm, { pid = 0 }) => {
    const scene = await submitUntil(farm, brief, (kept) => attemptsOf(farm, kept).length > 0);
    signal(pid, "SIGSTOP");
    const done = () => attemptsOf(farm, scene.worker).length === 0;
    await eventually(done, { limitMs: reachMsMax, what: "the clip is in the store" });
    return { ...scene, release: () => void signal(pid, "SIGCONT") };
  },
};

/** Which processes can be struck. */
export type Victim = "leader" | "standby" | "nats" | "worker" | "engine" | "encoder";

/** The process's id; undefined where there is none at this moment. */
export async function pidOf(
  farm: ChaosFarm,
  { leader, worker }: Pick<Scene, "leader" | "worker">,
  victim: Victim,
): Promise<number | undefined> {
  switch (victim) {
    case "leader":
      return leader.pid;
    case "standby":
      return farm.coordinators.find((kept) => kept !== leader)?.pid;
    case "nats":
      return farm.nats.pid;
    case "worker":
      return worker.pid;
    case "engine":
      return (await enginesOf(worker))[0];
    case "encoder":
      return (await encodersOf(worker))[0];
  }
}

/** Waits until the engine has done a step; a standby knows that too, though not which one. */
export async function running(
  { client }: ChaosFarm,
  { batch }: Submitted,
  index: number,
): Promise<Clip> {
  let clip: Clip | undefined;
  const runs = async () => {
    clip = await client.clip(batch, index);
    return clip.state === "CLIP_STATE_RUNNING";
  };
  await eventually(runs, { limitMs: reachMsMax, what: `clip ${index} runs` });
  if (clip === undefined) throw new Error("a clip that runs is there");
  return clip;
}

export function workerOf(farm: ChaosFarm, name: string): Kept<StartedMain> {
  const found = farm.workers.find((kept) => kept.name === name);
  if (found === undefined) throw new Error(`the farm has no worker "${name}"`);
  return found;
}

export async function enginesOf({ process }: Kept<StartedMain>): Promise<readonly number[]> {
  return (await process?.main.children("engine-process.js")) ?? [];
}

async function encodersOf({ process }: Kept<StartedMain>): Promise<readonly number[]> {
  return (await process?.main.children("rawvideo")) ?? [];
}

/**
 * Submits batch after batch until a worker is seen to hold what is looked for: a checkpoint, say,
 * is on its way for some milliseconds only.
 */
async function submitUntil(
  farm: ChaosFarm,
  changes: Changes,
  holds: (kept: Kept<StartedMain>) => boolean | Promise<boolean>,
): Promise<Pick<Scene, "submitted" | "worker">> {
  const submitted = [await farm.submit(changes)];
  let found: Kept<StartedMain> | undefined;
  let looks = 0;
  const somebody = async () => {
    for (const kept of farm.workers) {
      if (await holds(kept)) found = kept;
      if (found !== undefined) return true;
    }
    looks += 1;
    if (looks % looksPerQuestion === 0 && (await haveEnded(farm, submitted))) {
      submitted.push(await farm.submit(changes));
    }
    return false;
  };
  await eventually(somebody, { limitMs: reachMsMax, what: "a worker has come so far" });
  if (found === undefined) throw new Error("nobody");
  return { submitted, worker: found };
}

async function haveEnded({ client }: ChaosFarm, submitted: readonly Submitted[]): Promise<boolean> {
  const answers = await Promise.all(submitted.map(({ batch }) => client.get(batch)));
  return answers.every(({ batch }) => batch.endedAt !== undefined);
}

/** Attempts that the worker works on: each has a folder. */
export function attemptsOf(farm: ChaosFarm, { name }: Kept<StartedMain>): readonly string[] {
  return below(path.join(farm.workerFolder(name), "attempts"));
}

function attemptFiles(farm: ChaosFarm, kept: Kept<StartedMain>): readonly string[] {
  const folder = path.join(farm.workerFolder(kept.name), "attempts");
  return attemptsOf(farm, kept).flatMap((attempt) => below(path.join(folder, attempt)));
}

function below(folder: string): readonly string[] {
  try {
    return existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String) : [];
  } catch {
    return []; // it has just gone
  }
}
