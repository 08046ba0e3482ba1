// A clip that is cut, or whose worker is killed, goes on elsewhere from its newest checkpoint and
// has the bits of one that was never disturbed: real workers, the real engine and the demo model.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import type { Completed, Failed, ResumePoint } from "../../proto/gen/tocafarm/v1/worker.js";
import { makeDit, makePixart } from "../support/image-models.js";
import { type TestLease, testLease, WorkerLinkServer } from "../support/worker-link-server.js";
import { eventually, startWorkerProcess, type WorkerProcess } from "../support/worker-process.js";

const policies: readonly RenderSpec["policy"][] = [
  { name: "none", options: {} },
  { name: "fora", options: { interval: "3" } },
  { name: "toca", options: { interval: "3" } },
];

const steps = 60;
let artifacts = "";
before(async () => {
  artifacts = await mkdtemp(join(tmpdir(), "tocafarm-resume-"));
});
after(() => rm(artifacts, { recursive: true, force: true }));

/** A worker with a coordinator's end of its own, on the store that all here share. */
class Side {
  readonly server = new WorkerLinkServer();
  worker: WorkerProcess | undefined;

  static async of(t: TestContext, ...flags: readonly string[]): Promise<Side> {
    const side = new Side();
    await side.server.start();
    side.worker = await startWorkerProcess(t, {
      coordinator: side.server.address,
      realEngine: true,
      artifacts,
      flags: ["--threads", "1", "--checkpoint-seconds", "0", "--grace-seconds", "5", ...flags],
    });
    t.after(() => side.server.stop());
    await side.server.idle();
    return side;
  }
}

async function mediaDigest(side: Side, lease: TestLease): Promise<string> {
  await side.server.idle(side.server.said.length - 1);
  side.server.lease(lease);
  return digestOf(await side.server.completed(lease.attempt));
}

function digestOf({ artifacts: stored }: Completed): string {
  const digest = stored[0]?.sha256 ?? "";
  assert.match(digest, /^[0-9a-f]{64}$/);
  return digest;
}

function isCompleted(end: Completed | Failed): end is Completed {
  return "artifacts" in end;
}

for (const policy of policies) {
  test(`a clip that is cut again and again keeps its bits: ${policy?.name}`, async (t) => {
    const sides = await Promise.all([Side.of(t), Side.of(t)]);
    const spec = { policy, steps };
    const whole = await mediaDigest(sides[0], testLease({}, spec));
    const first = testLease({}, spec);
    let resume: ResumePoint | undefined;
    let cuts = 0;
    for (let attempt = 1; ; attempt += 1) {
      const { server } = sides[attempt % 2] ?? sides[0];
      const lease = { ...testLease({ again: first, attempt }, spec), resume };
      await server.idle(server.said.length - 1);
      server.lease(lease);
      // Ever later: before it begins, in every stage, and not at all.
      await new Promise((resolve) => setTimeout(resolve, (attempt - 1) * 60));
      server.cut(lease.attempt);
      const end = await server.ended(lease.attempt);
      if (isCompleted(end)) {
        assert.equal(digestOf(end), whole);
        await checkRest(end, lease, resume);
        break;
      }
      assert.equal(end.failure?.code, "INTERRUPTED", end.failure?.message);
      cuts += 1;
      const kept = server.checkpoints(lease.attempt).at(-1);
      assert.ok((kept?.step ?? 0) >= (resume?.step ?? 0) || kept === undefined);
      resume = kept ?? resume;
    }
    assert.ok(cuts >= 2 && resume !== undefined, `${cuts} cuts`);
  });
}

/** Manifest, profile and totals say which steps were this attempt's, and count all of them. */
async function checkRest(end: Completed, lease: TestLease, resume?: ResumePoint): Promise<void> {
  const read = async (name: string) =>
    JSON.parse(await readFile(join(artifacts, lease.artifactPrefix, name), "utf8"));
  assert.deepEqual((await read("manifest.json")).resumed_from, { step: resume?.step });
  const profile = await read("profile.json");
  assert.equal(profile.first_step, resume?.step);
  assert.equal(profile.steps.length, steps - profile.first_step);
  const own = profile.steps.reduce((sum: number, step: { flops: number }) => sum + step.flops, 0);
  const all = (resume?.totals?.flops ?? 0) + own;
  assert.ok(Math.abs((end.totals?.flops ?? 0) - all) <= all * 1e-9);
}

test("kill -9 of a worker loses no more than the steps since its newest checkpoint", async (t) => {
  const [one, other] = await Promise.all([Side.of(t), Side.of(t)]);
  const spec = { policy: policies[2], steps };
  const whole = await mediaDigest(other, testLease({}, spec));
  const lease = testLease({}, spec);
  one.server.lease(lease);
  const stored = () => one.server.checkpoints(lease.attempt).length >= 2;
  await eventually(stored, { limitMs: 15_000, what: "two checkpoints are told" });
  one.worker?.child.kill("SIGKILL");
  const resume = one.server.checkpoints(lease.attempt).at(-1);
  const second = { ...testLease({ again: lease, attempt: 2 }, spec), resume };
  assert.equal(await mediaDigest(other, second), whole);
});

test("a checkpoint of another clip is refused, and the device goes on", async (t) => {
  const { server } = await Side.of(t);
  const lease = testLease({}, { steps });
  server.lease(lease);
  await server.completed(lease.attempt);
  const resume = server.checkpoints(lease.attempt)[0];
  assert.ok(resume !== undefined);
  await server.idle(server.said.length - 1);
  const stranger = { ...testLease({}, { steps: steps + 1 }), resume };
  server.lease(stranger);
  const { failure } = await server.failed(stranger.attempt);
  assert.equal(failure?.code, "INVALID_CHECKPOINT");
  assert.match(failure.message, /^the checkpoint/);
  await mediaDigest({ server, worker: undefined }, testLease({}, { steps: 4 }));
});

test("a canary has the same digest on every device of a kind, again and again", async (t) => {
  const folders = [makePixart(artifacts), makeDit(artifacts)];
  const flags = folders.flatMap((folder) => ["--model", folder]);
  const sides = await Promise.all([Side.of(t, ...flags), Side.of(t, ...flags)]);
  for (const model of ["demo", "pixart", "dit"]) {
    const digests: string[] = [];
    for (const id of [`${model}-1`, `${model}-2`]) {
      for (const { server } of sides) {
        server.canary(id, model);
        const result = await server.canaryResult(id);
        assert.equal(result.failure, undefined);
        digests.push(result.sha256);
      }
    }
    assert.match(digests[0] ?? "", /^[0-9a-f]{64}$/);
    assert.equal(new Set(digests).size, 1);
  }
});
