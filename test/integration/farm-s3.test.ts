// A farm whose artifact store is a bucket: the same clips as with a folder, also when the S3 server
// dies under it and comes back.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  demoPrompts,
  digestOf,
  digests,
  ended,
  rendered,
  submit,
} from "../support/farm-batches.js";
import { clientOf, FarmSandbox, idleWorkers } from "../support/farm-processes.js";
import { undisturbedDigests } from "../support/farm-reference.js";
import { S3Server } from "../support/s3-server.js";
import { eventually } from "../support/worker-process.js";

const server = await S3Server.start();
after(() => server.dispose());

/** What a folder holds after the same batch. */
let expected: readonly (readonly string[])[];
before(async () => {
  expected = await undisturbedDigests(demoPrompts, {});
});

/** A sandbox whose farm stores in a prefix of the bucket. */
class BucketSandbox extends FarmSandbox {
  readonly #prefix = path.basename(this.folder);

  override get artifactsFolder(): string {
    return server.location(this.#prefix);
  }

  /** Where the server keeps the prefix, as files. */
  get objectsFolder(): string {
    return path.join(server.bucketFolder, this.#prefix);
  }
}

async function startFarm(t: TestContext) {
  const sandbox = new BucketSandbox();
  t.after(() => sandbox.dispose());
  const coordinator = await sandbox.coordinator("--artifacts", sandbox.artifactsFolder);
  const client = clientOf(t, coordinator);
  const ids = ["w1", "w2"];
  await Promise.all(ids.map((id) => sandbox.worker(coordinator, id)));
  await idleWorkers(client, ...ids);
  return { sandbox, client };
}

test("clips in a bucket have the bits of clips in a folder, and come down to users", async (t) => {
  const { sandbox, client } = await startFarm(t);
  const clips = await rendered(client, demoPrompts);
  const found = clips.map((clip) => digests(sandbox.objectsFolder, clip));
  assert.deepEqual(found, expected);
  const [clip] = clips;
  const batch = clip?.id.split(".")[0] ?? "";
  const output = sandbox.path("output");
  const watched = await sandbox.run("watch", batch, "--output", output);
  assert.equal(watched.status, 0, watched.stderr);
  assert.equal(digestOf(path.join(output, "sample_0000.mp4")), clip?.artifacts[0]?.sha256);
});

test("an S3 server that dies under a batch and comes back costs no clip and no bit", async (t) => {
  const { sandbox, client } = await startFarm(t);
  const batch = await submit(client, demoPrompts);
  const published = async () => existsSync(path.join(sandbox.objectsFolder, "clips"));
  await eventually(published, { limitMs: 30_000, what: "a first file is in the bucket" });
  await server.kill();
  await sleep(1_000);
  await server.restart();
  const { clips } = await ended(client, batch);
  assert.deepEqual(
    clips.map((clip) => digests(sandbox.objectsFolder, clip)),
    expected,
  );
});
