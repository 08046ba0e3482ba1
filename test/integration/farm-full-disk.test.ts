// A disk that fills while a clip's files are brought. A limit on the size of the command's files
// stands for it: the system then writes what still fits, and says so only the next time.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { errorCodes } from "../../common/errors.js";
import { packageRoot } from "../../common/paths.js";
import { demoPrompts, ended, submit } from "../support/farm-batches.js";
import { clientOf, FarmSandbox, idleWorkers } from "../support/farm-processes.js";

// sh counts in blocks of 512 bytes.
const limited = 'ulimit -f 2; exec "$0" "$@"';

test("a file that did not fit on the disk is not left behind", async (t) => {
  const sandbox = FarmSandbox.of(t);
  const coordinator = await sandbox.coordinator();
  const client = clientOf(t, coordinator);
  await sandbox.worker(coordinator, "w1");
  await idleWorkers(client, "w1");
  const batch = await submit(client, demoPrompts.slice(0, 1));
  const { clips } = await ended(client, batch);
  const [media] = clips[0]?.artifacts ?? [];
  assert.ok(media && statSync(path.join(sandbox.artifactsFolder, media.key)).size > 1024);

  const output = sandbox.path("output");
  const main = path.join(packageRoot(), "dist", "cli", "main.js");
  const watch = [main, "watch", batch, "--output", output, "--coordinator", coordinator.grpc];
  const told = spawnSync("sh", ["-c", limited, process.execPath, ...watch], { encoding: "utf8" });
  assert.equal(told.status, errorCodes.IO.exit, told.stderr);
  assert.match(told.stderr, /^tocafarm: IO: .*sample_0000\.mp4 cannot be written: EFBIG/m);
  if (existsSync(output)) assert.deepEqual(readdirSync(output), []);
});
