// A disk that is full: the workers', the artifact store's, the log's. Nothing that was accepted is
// lost, nothing more is accepted that could be, and the farm goes on when there is space again.
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { asFarmError } from "../../common/errors.js";
import { audit } from "../support/chaos-audit.js";
import { inLongForm } from "../support/chaos-chance.js";
import { SmallDisk } from "../support/chaos-disk.js";
import { ChaosFarm, type Submitted } from "../support/chaos-farm.js";
import { checkHistory, readEvents } from "../support/chaos-history.js";
import { signal } from "../support/chaos-kept.js";
import { brief } from "../support/chaos-scenes.js";
import { demoPrompts, ended, rendered, submit } from "../support/farm-batches.js";
import { clientOf, FarmSandbox, idleWorkers } from "../support/farm-processes.js";
import { eventually } from "../support/worker-process.js";

const diskMebibytes = 16;

function folderOn({ folder }: SmallDisk, name: string): string {
  const made = path.join(folder, name);
  mkdirSync(made);
  return made;
}

/** Attempts that failed for want of space. */
async function failures(farm: ChaosFarm, batch: string): Promise<number> {
  const history = checkHistory(await readEvents(farm.natsUrl));
  return (history.batches.get(batch) ?? []).reduce((sum, clip) => sum + clip.failures, 0);
}

test("workers whose disk is full fail with the reason, and render when it is not", async (t) => {
  const disk = SmallDisk.of(t, diskMebibytes);
  if (disk === null) return;
  const workersFolder = folderOn(disk, "workers");
  const farm = await ChaosFarm.start(t, { name: "disk-worker", coordinators: 1, workersFolder });
  await farm.learn(brief);
  const pids = farm.workers.map(({ pid }) => pid);
  disk.fill();
  const submitted = await farm.submit(brief);
  const failed = async () => (await failures(farm, submitted.batch)) >= 3;
  await eventually(failed, { limitMs: 30_000, what: "attempts fail" });
  const [clip] = (await farm.client.get(submitted.batch)).clips;
  assert.equal(clip?.failure?.code, "IO");
  disk.empty();
  await audit(farm, [submitted]);
  assert.deepEqual(
    farm.workers.map(({ pid }) => pid),
    pids,
    "no worker has ended",
  );
});

test(
  "a store that is full refuses submissions and fails attempts, until it is not",
  inLongForm,
  async (t) => {
    const disk = SmallDisk.of(t, diskMebibytes);
    if (disk === null) return;
    const artifactsFolder = folderOn(disk, "artifacts");
    const farm = await ChaosFarm.start(t, { name: "disk-store", coordinators: 1, artifactsFolder });
    await farm.learn(brief);
    const mains = await Promise.all(farm.workers.map((kept) => kept.serving()));
    const engines = await Promise.all(mains.map(({ main }) => main.engine()));
    for (const engine of engines) signal(engine, "SIGSTOP");
    const submitted = await farm.submit(brief);
    disk.fill();
    for (const engine of engines) signal(engine, "SIGCONT");
    const failed = async () => (await failures(farm, submitted.batch)) >= 2;
    await eventually(failed, { limitMs: 30_000, what: "attempts fail" });
    const [clip] = (await farm.client.get(submitted.batch)).clips;
    assert.equal(clip?.failure?.code, "IO");
    await assert.rejects(submit(farm.client, ["prompts that no blob holds yet"]), { code: "IO" });
    disk.empty();
    await audit(farm, [submitted, await farm.submit(brief)]);
  },
);

test("a log that cannot be written to refuses submissions, and loses none", async (t) => {
  const disk = SmallDisk.of(t, diskMebibytes);
  if (disk === null) return;
  const farm = await ChaosFarm.start(t, { name: "disk-log", natsFolder: folderOn(disk, "nats") });
  await farm.learn(brief);
  disk.fill();
  // The last page of a file takes a few events more.
  const accepted: Submitted[] = [];
  const refused = async () => {
    const answer = await farm.submitOnce(brief).catch((thrown: unknown) => thrown);
    if (!(answer instanceof Error)) accepted.push(answer as Submitted);
    else assert.equal(asFarmError(answer).code, "UNAVAILABLE");
    return answer instanceof Error;
  };
  await eventually(refused, { limitMs: 60_000, what: "a submission is refused" });
  disk.empty();
  await farm.calm();
  await audit(farm, [...accepted, await farm.submit(brief)]);
});

test(
  "a farm of one command on a disk that is full goes on when it is not",
  inLongForm,
  async (t) => {
    const disk = SmallDisk.of(t, diskMebibytes);
    if (disk === null) return;
    const sandbox = FarmSandbox.of(t);
    symlinkSync(folderOn(disk, "data"), sandbox.dataFolder);
    const coordinator = await sandbox.coordinator();
    const client = clientOf(t, coordinator);
    await sandbox.worker(coordinator, "w1");
    await idleWorkers(client, "w1");
    await rendered(client, demoPrompts.slice(0, 1));
    disk.fill();
    const accepted: string[] = [];
    const refused = async () => {
      const answer = await submit(client, demoPrompts.slice(0, 1)).catch(asFarmError);
      if (typeof answer === "string") accepted.push(answer);
      else assert.ok(["IO", "UNAVAILABLE"].includes(answer.code), answer.message);
      return typeof answer !== "string";
    };
    await eventually(refused, { limitMs: 60_000, what: "a submission is refused" });
    disk.empty();
    await idleWorkers(client, "w1");
    accepted.push(await submit(client, demoPrompts.slice(0, 1)));
    for (const batch of accepted) {
      assert.equal((await ended(client, batch)).batch.state, "BATCH_STATE_SUCCEEDED");
    }
  },
);
