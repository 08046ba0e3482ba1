// Previews first, verdicts, then final renders: through a real coordinator, with an agent that the
// test plays.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { callUnary, readStream } from "../../common/rpc.js";
import type { Lease } from "../../proto/gen/tocafarm/v1/worker.js";
import { completion, farmWithAgent } from "../support/coordinator-agent.js";
import { eventually, testSpecMessage } from "../support/coordinator-process.js";

const policy = { name: "fora", options: { interval: "2" }, calibration: undefined };
const preview = { steps: 4, policy };

/** What the agent of the test would have stored. */
function storeMedia(data: string, { artifactPrefix }: Lease, bytes: string): string {
  const key = `${artifactPrefix}clip.mp4`;
  const file = path.join(data, "artifacts", key);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, bytes);
  return key;
}

test("a batch warns of policies that were calibrated for other renders", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  const calibrated = { ...preview.policy, calibration: { modelDigest: "of other weights" } };
  const warned = await coordinator.submit(["one"], { preview: { steps: 4, policy: calibrated } });
  assert.deepEqual(warned.preview, preview, "the calibration is not kept");
  assert.match(warned.warnings.at(-1) ?? "", /^preview: demo: \{.*"of other weights"/);
  const spec = { ...testSpecMessage, policy: { ...calibrated, calibration: { steps: 30 } } };
  const { warnings } = await coordinator.submit(["one"], { spec });
  assert.deepEqual(warnings, ['demo: {"steps":30}']);
});

test("a preview is rendered, judged and followed by the final render", async (t) => {
  const { data, coordinator, agent, client } = await farmWithAgent(t);
  const batch = await coordinator.submit(["one", "two"], { preview });
  assert.deepEqual(batch.preview, preview);
  const first = await agent.lease();
  assert.equal(first.preview, true);
  assert.equal(first.spec?.steps, 4);
  assert.deepEqual(first.spec?.policy, preview.policy);
  assert.equal(first.seed, 42n, "the seed is the final render's");
  const key = storeMedia(data, first, "a preview");
  const unpublished = readStream(coordinator.farm.downloadArtifact({ key }));
  await assert.rejects(unpublished.next(), { code: "NOT_FOUND" });
  agent.complete(first);
  const second = await agent.lease();
  assert.deepEqual([second.clipIndex, second.preview], [1, true], "all previews come first");
  agent.complete(second);
  const waiting = await eventually(async () => {
    const now = await coordinator.get(batch.id);
    return now.batch?.state === "BATCH_STATE_AWAITING_APPROVAL" ? now : undefined;
  });
  assert.equal(waiting.batch?.clipsAwaitingApproval, 2);
  assert.deepEqual(
    waiting.clips.map(({ state, step, steps, previewArtifacts, artifacts }) => [
      state,
      step,
      steps,
      previewArtifacts[0]?.key,
      artifacts.length,
    ]),
    [first, second].map(({ artifactPrefix }) => [
      "CLIP_STATE_AWAITING_APPROVAL",
      4,
      4,
      `${artifactPrefix}clip.mp4`,
      0,
    ]),
  );
  const chunks: Buffer[] = [];
  for await (const { chunk } of readStream(coordinator.farm.downloadArtifact({ key }))) {
    chunks.push(Buffer.from(chunk));
  }
  assert.equal(Buffer.concat(chunks).toString(), "a preview");
  assert.match(
    await coordinator.metrics(),
    /tocafarm_queue_segments\{state="awaiting_approval"\} 2/,
  );

  const approved = await client.changeClips("approve", batch.id, [{ first: 0, last: 0 }]);
  assert.equal(approved.clipsChanged, 1);
  const final = await agent.lease();
  assert.deepEqual([final.clipIndex, final.preview, final.spec?.steps], [0, false, 10]);
  assert.equal(final.attempt.attempt, 2);
  assert.notEqual(final.planDigest, "");
  agent.complete(final);
  const rejected = await client.changeClips("reject", batch.id, [{ first: 1, last: 1 }]);
  assert.deepEqual([rejected.clipsChanged, rejected.batch.clipsSkipped], [1, 1]);
  const done = await eventually(async () => {
    const now = await coordinator.get(batch.id);
    return now.batch?.endedAt === undefined ? undefined : now;
  });
  assert.deepEqual(
    done.clips.map(({ state }) => state),
    ["CLIP_STATE_PUBLISHED", "CLIP_STATE_REJECTED"],
  );
  assert.equal(done.clips[0]?.previewArtifacts[0]?.key, key, "it can still be compared");

  const again = await client.changeClips("retry", batch.id, [{ first: 1, last: 1 }]);
  assert.equal(again.batch.state, "BATCH_STATE_ACTIVE");
  assert.equal((await agent.lease()).preview, true, "a rejected clip begins anew, with a preview");
});

test("verdicts on clips that wait for none are refused, and say so", async (t) => {
  const { coordinator, client } = await farmWithAgent(t);
  const plain = await coordinator.submit(["one"]);
  for (const verb of ["approve", "reject"] as const) {
    await assert.rejects(client.changeClips(verb, plain.id, [{ first: 0, last: 0 }]), {
      code: "FAILED_PRECONDITION",
      message: /has no previews; submit with one/,
    });
  }
});

test("a preview that is the final render, or none at all, is refused", async (t) => {
  const { coordinator } = await farmWithAgent(t);
  const { policy, steps } = testSpecMessage;
  const refused = (
    asked: typeof preview | { steps: number; policy: typeof policy },
    text: RegExp,
  ) =>
    assert.rejects(coordinator.submit(["one"], { preview: { ...asked } }), {
      code: "INVALID_ARGUMENT",
      message: text,
    });
  await refused({ steps, policy }, /the preview is the final render/);
  await refused({ steps, policy: undefined }, /the preview is the final render/);
  await refused({ steps: 0, policy }, /steps is 0/);
  const options = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`o${i}`, "1"]));
  await refused({ steps: 4, policy: { name: "toca", options } }, /40 options, 32 are allowed/);
});

test("a link needs a store that gives links, and a file that is published", async (t) => {
  const { data, coordinator, agent } = await farmWithAgent(t);
  await coordinator.submit(["one"]);
  const lease = await agent.lease();
  const key = storeMedia(data, lease, "a video");
  const link = coordinator.farm.getArtifactLink.bind(coordinator.farm);
  await assert.rejects(callUnary(link, { key, validSeconds: 0 }), { code: "NOT_FOUND" });
  agent.say({ $case: "completed", value: completion(lease.attempt, key) });
  const error = await eventually(async () => {
    const thrown = await callUnary(link, { key, validSeconds: 0 }).catch((reason) => reason);
    return thrown.code === "NOT_FOUND" ? undefined : thrown;
  });
  assert.equal(error.code, "FAILED_PRECONDITION");
  assert.match(error.message, /in a folder, which gives no links: download/);
  await assert.rejects(callUnary(link, { key, validSeconds: 604_801 }), {
    code: "INVALID_ARGUMENT",
    message: /valid_seconds is 604801, 604800 \(a week\)/,
  });
});
