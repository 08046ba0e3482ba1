// The longest prompts that a batch may have, read and watched: no message is larger than gRPC
// takes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FarmError } from "../../common/errors.js";
import { messageBytesMax } from "../../common/rpc.js";
import { GetBatchResponse, WatchBatchResponse } from "../../proto/gen/tocafarm/v1/farm.js";
import { TestFarm } from "../../test/support/coordinator-core.js";
import type { FarmPort } from "../ports.js";
import { getBatch } from "./batch-reads.js";
import { createOutlook } from "./outlook.js";
import { watchBatch } from "./watch.js";

const batchId = "b0123456789ab";
const clips = 341;
const prompts = Array.from({ length: clips }, () => "\u706b".repeat(16_384));
const all = Array.from({ length: clips }, (_, index) => index);

function contextOf() {
  const core = new TestFarm();
  core.submit(batchId, { clips });
  const farm: FarmPort = {
    term: 1,
    now: () => core.now,
    command: async (command) => core.do(command),
    query: async (read) => read(core.farm),
    onTurn: () => () => {},
  };
  const store = { put: () => Promise.reject(new Error("unused")), load: async () => prompts };
  return { farm, outlook: createOutlook(farm), prompts: store };
}

test("pages of clips end where their prompts fill a message", async () => {
  const context = contextOf();
  const read: number[] = [];
  for (let clipPageToken = "", pages = 0; pages === 0 || clipPageToken !== ""; pages += 1) {
    const page = await getBatch({ batchId, clipPageSize: 0, clipPageToken }, context);
    assert.ok(GetBatchResponse.encode(page).finish().length < 0.8 * messageBytesMax);
    read.push(...page.clips.map(({ index }) => index));
    clipPageToken = page.nextClipPageToken;
  }
  assert.deepEqual(read, all);
});

test("a batch is told of without its prompts while the store does not give them", async () => {
  const context = contextOf();
  const load = () => Promise.reject(new FarmError("NOT_FOUND", "artifact blobs/0 is not there"));
  const asked = { batchId, clipPageSize: 2, clipPageToken: "" };
  const prompts = { ...context.prompts, load };
  const { batch, clips } = await getBatch(asked, { ...context, prompts });
  assert.deepEqual(
    clips.map(({ index, prompt }) => [index, prompt]),
    [
      [0, ""],
      [1, ""],
    ],
  );
  assert.match(batch?.warnings.at(-1) ?? "", /prompts cannot be read now: artifact blobs\/0/);
});

test("a watcher is told of many long prompts in several messages", async () => {
  const told: WatchBatchResponse[] = [];
  const ended = new AbortController();
  const watching = watchBatch({
    ...contextOf(),
    request: { batchId, afterSequence: 0n },
    send: async (message) => {
      told.push(message);
      if (message.sequence > 0n) ended.abort(new Error("all was told"));
    },
    signal: ended.signal,
  });
  await assert.rejects(watching, /all was told/);
  for (const message of told) {
    assert.ok(WatchBatchResponse.encode(message).finish().length < 0.8 * messageBytesMax);
  }
  assert.deepEqual(
    told.flatMap((message) => message.clips.map(({ index }) => index)),
    all,
  );
  assert.ok(told.length > 1);
});
