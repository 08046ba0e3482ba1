// The parts that use the artifact store: prompts and the janitor, over a store in a folder.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { openFolderStore } from "../artifacts/folder.js";
import { checkpointKey, clipId } from "../common/ids.js";
import { silentLog } from "../common/log.js";
import { keysOf } from "../test/support/artifact-keys.js";
import { noTotals, TestFarm, testSubmission } from "../test/support/coordinator-core.js";
import { eventually } from "../test/support/coordinator-process.js";
import { apply } from "./core/apply.js";
import type { Effect } from "./core/commands.js";
import type { FarmEvent } from "./core/events.js";
import type { Farm } from "./core/farm.js";
import { startJanitor, sweep } from "./janitor.js";
import type { ArtifactStore, Turn } from "./ports.js";
import { createPromptStore } from "./prompts.js";

async function folderStore(t: TestContext) {
  const folder = mkdtempSync(path.join(tmpdir(), "tocafarm-store-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, store: await openFolderStore(folder) };
}

test("prompts come back as they were, and the same list has the same key", async (t) => {
  const { store } = await folderStore(t);
  const list = ["a red circle", 'quotes " and \n lines', "ü"];
  const { key } = await createPromptStore(store).put(list);
  assert.equal((await createPromptStore(store).put(list)).key, key);
  assert.deepEqual(await createPromptStore(store).load(key), list);
});

test("damaged or missing prompts are an error, which a later repair heals", async (t) => {
  const { folder, store } = await folderStore(t);
  const prompts = createPromptStore(store);
  const { key } = await prompts.put(["one"]);
  writeFileSync(path.join(folder, key), '["two"]');
  await assert.rejects(prompts.load(key), { code: "FAILED_PRECONDITION", message: /are damaged/ });
  await store.delete(key);
  await assert.rejects(createPromptStore(store).load(key), { code: "NOT_FOUND" });
});

const batch = "b0123456789ab";

/** A leader's life of which the test tells the turns. */
function toldFarm() {
  const listeners = new Set<(turn: Turn) => void>();
  const { farm } = new TestFarm();
  const { state } = farm;
  let now = 1_000;
  const tell = (events: readonly FarmEvent[], effects: readonly Effect[] = []): void => {
    const sequence = state.sequence + 1;
    for (const event of events) apply(state, event, sequence);
    for (const listener of listeners) listener({ sequence, commands: [], events, effects });
  };
  const at = () => now;
  tell([{ type: "BatchAccepted", at: at(), ...testSubmission(batch, { clips: 4 }) }]);
  return {
    life: {
      query: async <T>(read: (known: Farm) => T) => read(farm),
      onTurn: (listener: (turn: Turn) => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      now: at,
    },
    tell,
    pass: (ms: number) => {
      now += ms;
    },
    lease: (clip: number, attempt: number, resumeStep = 0): void => {
      const granted = { ...testLease, batch, clip, attempt, resumeStep };
      tell([{ type: "LeaseGranted", at: at(), ...granted }]);
    },
    lose: (clip: number, attempt: number): void => {
      const ref = { batch, clip, attempt };
      tell([{ type: "AttemptLost", at: at(), ...ref, reason: "silent", retryAt: 0 }]);
    },
    store: (clip: number, attempt: number, step: number): void => {
      const key = checkpointKey(clipId(batch, clip), attempt, step);
      const checkpoint = { step, artifact: { key, sha256: "00", sizeBytes: 1 }, totals: noTotals };
      tell([{ type: "CheckpointStored", at: at(), batch, clip, attempt, checkpoint }]);
    },
    publish: (clip: number, attempt: number): void => {
      const files = { artifacts: [], totals: noTotals };
      tell([{ type: "ClipPublished", at: at(), batch, clip, attempt, ...files }]);
    },
  };
}

const testLease = {
  ...{ worker: "w1", device: "cpu", kind: "cpu-x", preview: false, segment: 0 },
  ...{ deviceSeconds: 1, tier: 2, weight: 1 },
};

async function putAll(store: ArtifactStore, keys: readonly string[]): Promise<void> {
  for (const key of keys) await store.put(key, Buffer.from("x"));
}

async function settle(store: ArtifactStore, prefix: string, count: number): Promise<void> {
  await eventually(async () => (await keysOf(store, prefix)).length === count || undefined);
}

const clip = (index: number) => `clips/${clipId(batch, index)}`;
const saved = (index: number) => `checkpoints/${clipId(batch, index)}`;

test("files of attempts that lost go, those of the published one stay", async (t) => {
  const { store } = await folderStore(t);
  const farm = toldFarm();
  const janitor = startJanitor({ life: farm.life, store, log: silentLog });
  t.after(() => janitor.stop());
  await putAll(store, [`${clip(0)}/1/a`, `${clip(0)}/2/a`, `${clip(0)}/3/a`, `${clip(1)}/1/a`]);
  farm.lease(0, 1);
  farm.lose(0, 1);
  farm.lease(0, 2);
  farm.publish(0, 2);
  await settle(store, "clips/", 3);
  assert.deepEqual(
    await keysOf(store, "clips/"),
    [`${clip(0)}/2/a`, `${clip(0)}/3/a`, `${clip(1)}/1/a`],
    "an attempt that the log does not know may still come to be known",
  );
  farm.lease(1, 1);
  farm.lose(1, 1);
  const ref = { batch, clip: 1, attempt: 1 };
  farm.tell([], [{ type: "superseded", ref, report: "completed", discard: true }]);
  await settle(store, "clips/", 2);
});

test("a newer checkpoint replaces the one before, and a clip's end removes the last", async (t) => {
  const { store } = await folderStore(t);
  const farm = toldFarm();
  farm.lease(0, 1);
  farm.store(0, 1, 6);
  await putAll(store, [`${saved(0)}/1-6.safetensors`, `${saved(0)}/1-12.safetensors`]);
  const janitor = startJanitor({ life: farm.life, store, log: silentLog });
  t.after(() => janitor.stop());
  await new Promise((resolve) => setTimeout(resolve, 5));
  farm.store(0, 1, 12);
  await settle(store, "checkpoints/", 1);
  farm.lose(0, 1);
  farm.lease(0, 2, 12);
  await putAll(store, [`${saved(0)}/2-18.safetensors`]);
  farm.store(0, 2, 18);
  await eventually(async () => {
    const keys = await keysOf(store, "checkpoints/");
    return keys.join() === `${saved(0)}/2-18.safetensors` || undefined;
  });
  farm.publish(0, 2);
  await settle(store, "checkpoints/", 0);
});

test("a sweep removes what is a day old and needed by nothing, and nothing else", async (t) => {
  const { folder, store } = await folderStore(t);
  const farm = toldFarm();
  const stranger = "bzzzzzzzzzzzz";
  farm.lease(0, 1);
  farm.lose(0, 1);
  farm.lease(0, 2);
  farm.publish(0, 2);
  farm.lease(1, 1);
  farm.store(1, 1, 12);
  farm.lose(1, 1);
  farm.lease(1, 2, 12);
  farm.lease(2, 1);
  farm.lose(2, 1);
  const kept = [
    "blobs/00",
    `${clip(0)}/2/a`,
    `${clip(0)}/9/unknown`,
    `${clip(1)}/2/at-work`,
    `${saved(1)}/1-12.safetensors`,
    `${saved(1)}/2-18.safetensors`,
    `clips/${stranger}.000000/1/a`,
    `checkpoints/${stranger}.000000/1-6.safetensors`,
  ];
  const orphans = [
    `${clip(0)}/1/a`,
    `${clip(2)}/1/a`,
    `${saved(0)}/1-6.safetensors`,
    `${saved(0)}/2-6.safetensors`,
    `${saved(1)}/1-6.safetensors`,
    `${saved(1)}/1-18.safetensors`,
  ];
  await putAll(store, [...kept, ...orphans]);
  const { signal } = new AbortController();
  const sweepAt = (hours: number): Promise<number> => {
    const now = () => Date.now() + hours * 3_600_000;
    return sweep({ life: { ...farm.life, now }, store, log: silentLog }, signal);
  };
  assert.equal(await sweepAt(23), 0, "what is young may still be named");
  assert.equal(await sweepAt(25), orphans.length);
  assert.equal(await sweepAt(1_000 * 24), 0, "what this log does not know may be another pool's");
  assert.deepEqual(await keysOf(store, ""), [...kept].sort());
  const part = path.join(folder, "clips", ".a.0123456789ab.part");
  writeFileSync(part, "x");
  const dayBefore = Date.now() / 1000 - 25 * 3600;
  utimesSync(part, dayBefore, dayBefore);
  assert.equal(await sweepAt(0), 1, "what an upload that died has left");
});
