// Commands and a change of leaders: `watch` goes on where it was though whoever it talked to is
// dead, and what is asked while nobody leads is done once somebody does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CliSandbox } from "../support/cli-process.js";
import { newAgent } from "../support/coordinator-agent.js";
import { eventually } from "../support/coordinator-process.js";
import { FailoverPool } from "../support/failover-pool.js";

test("watch and verbs outlive the leader that they were talking to", async (t) => {
  const pool = await FailoverPool.start(t, { coordinators: 2, flags: ["--lease-seconds", "6"] });
  const sandbox = new CliSandbox();
  t.after(() => sandbox.dispose());
  const leader = await pool.leader();
  const others = pool.coordinators.filter((coordinator) => coordinator !== leader);
  const [standby] = others;
  assert.ok(standby);
  const agent = await newAgent(t, leader, "w1");
  const batch = await leader.submit(["one", "two"], { idempotencyKey: "k" });
  const at = ["--coordinator", [leader.grpc, standby.grpc].join(",")];
  const watch = sandbox.start("watch", batch.id, ...at);
  const first = await agent.lease();
  agent.hold([first.attempt], 1);
  await watch.shows("clip 0000 rendering on w1");
  agent.complete(first);
  await watch.shows("clip 0000 done");
  await leader.kill();
  const size = ["--frames", "17", "--image-size", "64x64", "--steps", "4"];
  const late = sandbox.run("submit", "--model", "demo", "--prompt", "late", ...size, ...at);
  const paused = await sandbox.run("pause", batch.id, ...at);
  assert.equal(paused.stdout, `batch ${batch.id} is paused, in tier 2\n`, paused.stderr);
  assert.equal(await pool.leader(others), standby);
  const back = await newAgent(t, standby, "w1");
  const submitted = await late;
  assert.equal(submitted.status, 0, `the new leader waits for its workers: ${submitted.stderr}`);
  const resumed = await sandbox.run("resume", batch.id, ...at);
  assert.equal(resumed.status, 0, resumed.stderr);
  const second = await eventually(async () => {
    back.progress([], 0, ["cpu"]);
    return back.leases.find(({ batchId }) => batchId === batch.id);
  });
  back.complete(second);
  const { status, stdout, stderr } = await watch.ended;
  assert.equal(status, 0, stderr);
  assert.match(stdout, /2 of 2 clips/);
  assert.equal(stderr.match(/clip 0000 done/g)?.length, 1, "nothing is told twice");
});
