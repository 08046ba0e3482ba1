// What must be true of a farm when the last of its work has ended, whatever was done to it: every
// clip has its files and their bits, and nothing else is in the store after the janitor's pass.
import assert from "node:assert/strict";
import { openStore } from "../../artifacts/open.js";
import { createLog } from "../../common/log.js";
import { apply } from "../../coordinator/core/apply.js";
import type { FarmEvent } from "../../coordinator/core/events.js";
import { openFarm } from "../../coordinator/core/farm.js";
import { defaultRules } from "../../coordinator/core/rules.js";
import { emptyState } from "../../coordinator/core/state.js";
import { sweep } from "../../coordinator/janitor.js";
import { orphanAgeMs } from "../../coordinator/leftovers.js";
import { bitsOf, type ChaosFarm, type Submitted } from "./chaos-farm.js";
import { checkHistory, type History, readEvents } from "./chaos-history.js";
import { ended } from "./farm-batches.js";

/** Waits for the batches' ends and checks everything; resolves to what the log tells. */
export async function audit(farm: ChaosFarm, submitted: readonly Submitted[]): Promise<History> {
  for (const { batch, expected } of submitted) {
    const { clips } = await ended(farm.client, batch);
    for (const clip of clips) assert.equal(clip.state, "CLIP_STATE_PUBLISHED", clip.id);
    const found = clips.map((clip) => bitsOf(farm.artifactsFolder, clip));
    assert.deepEqual(found, expected, `the bits of ${batch}`);
  }
  await farm.calm();
  const events = await readEvents(farm.natsUrl);
  const history = checkHistory(events);
  for (const { batch } of submitted) assert.ok(history.batches.has(batch), `${batch} is lost`);
  for (const [batch, clips] of history.batches) {
    for (const [index, { end }] of clips.entries()) assert.ok(end, `${batch}.${index} never ended`);
  }
  await checkStore(farm, events, history);
  await farm.noOrphans();
  return history;
}

/** The store holds the published files, what was submitted, and nothing more. */
async function checkStore(
  farm: ChaosFarm,
  events: readonly FarmEvent[],
  history: History,
): Promise<void> {
  const store = await openStore(farm.artifactsFolder);
  await store.sweepParts(-1_000); // as if a day had passed
  const state = emptyState();
  for (const event of events) apply(state, event, 1);
  const folded = openFarm(state, defaultRules, state.at);
  const life = {
    query: async <T>(read: (farm: typeof folded) => T) => read(folded),
    onTurn: () => () => {},
    now: () => Date.now() + 2 * orphanAgeMs,
  };
  await sweep({ life, store, log: createLog("test", "silent") }, AbortSignal.timeout(30_000));
  const published = new Set([...history.batches.values()].flat().flatMap(({ keys }) => keys));
  const found: string[] = [];
  for await (const { key } of store.list("")) found.push(key);
  const files = found.filter((key) => !key.startsWith("blobs/"));
  assert.deepEqual(new Set(files), published, "the store holds what was published");
}
