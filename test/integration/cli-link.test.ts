// Links to published files, where artifacts lie in S3: anybody may read them for a while, and
// nobody after it.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openStore } from "../../artifacts/open.js";
import { CliSandbox } from "../support/cli-process.js";
import { completion, farmWithAgent } from "../support/coordinator-agent.js";
import { eventually } from "../support/coordinator-process.js";
import { S3Server } from "../support/s3-server.js";

const server = await S3Server.start();
after(() => server.dispose());

test("a link brings the video for a while, and nothing after it", async (t) => {
  const location = server.location("links");
  const { coordinator, agent } = await farmWithAgent(t, ["--artifacts", location]);
  const sandbox = new CliSandbox();
  t.after(() => sandbox.dispose());
  const { id } = await coordinator.submit(["one"]);
  const lease = await agent.lease();
  const key = `${lease.artifactPrefix}video.mp4`;
  const store = await openStore(location);
  await store.put(key, Buffer.from("a video"));
  agent.say({ $case: "completed", value: completion(lease.attempt, key, "a video") });
  await eventually(async () =>
    (await coordinator.get(id)).batch?.clipsPublished === 1 ? true : undefined,
  );
  const link = async (...args: readonly string[]) => {
    const at = ["--coordinator", coordinator.grpc];
    const { status, stdout, stderr } = await sandbox.run("link", `${id}.0`, ...args, ...at);
    assert.equal(status, 0, stderr);
    return stdout.trimEnd();
  };
  const answer = await fetch(await link());
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), "a video");
  assert.match(answer.headers.get("content-disposition") ?? "", new RegExp(`${id}.000000.mp4`));
  const { url, expiresAt } = JSON.parse(await link("--valid", "1s", "--json"));
  const leftMs = Date.parse(expiresAt) - Date.now();
  assert.ok(leftMs <= 1_000);
  await sleep(Math.max(0, leftMs) + 1_500);
  assert.equal((await fetch(url)).status, 403);
});
