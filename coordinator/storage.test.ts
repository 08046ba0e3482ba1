// The parts that use the artifact store: prompts and the janitor, over a store in a folder.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { openFolderStore } from "../artifacts/folder.js";
import { silentLog } from "../common/log.js";
import { keysOf } from "../test/support/artifact-keys.js";
import { noTotals } from "../test/support/coordinator-core.js";
import type { FarmEvent } from "./core/events.js";
import { startJanitor } from "./janitor.js";
import type { FarmPort, Turn } from "./ports.js";
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
  await assert.rejects(prompts.load(key), { code: "IO", message: /are damaged/ });
  await store.delete(key);
  await assert.rejects(createPromptStore(store).load(key), { code: "NOT_FOUND" });
});

/** A farm of which a test tells the turns. */
function toldFarm(): { readonly farm: FarmPort; readonly tell: (turn: Partial<Turn>) => void } {
  const listeners = new Set<(turn: Turn) => void>();
  const farm: FarmPort = {
    command: () => Promise.reject(new Error("no command is expected")),
    query: () => Promise.reject(new Error("no query is expected")),
    onTurn: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    term: 1,
    now: () => 0,
  };
  const empty: Turn = { sequence: 1, commands: [], events: [], effects: [] };
  return {
    farm,
    tell: (turn) => {
      for (const listener of listeners) listener({ ...empty, ...turn });
    },
  };
}

test("files of attempts that lost go, those of the published one stay", async (t) => {
  const { store } = await folderStore(t);
  const { farm, tell } = toldFarm();
  const janitor = startJanitor(farm, store, silentLog);
  const batch = "b0123456789ab";
  for (const key of ["000000/1/a", "000000/2/a", "000000/3/a", "000001/1/a"]) {
    await store.put(`clips/${batch}.${key}`, Buffer.from("x"));
  }
  const published: FarmEvent = {
    type: "ClipPublished",
    at: 1,
    ...{ batch, clip: 0, attempt: 2, artifacts: [], totals: noTotals },
  };
  tell({ events: [published] });
  const ref = { batch, clip: 1, attempt: 1 };
  tell({ effects: [{ type: "superseded", ref, report: "completed", discard: false }] });
  await settle(async () => (await keysOf(store, "clips/")).length === 2);
  assert.deepEqual(await keysOf(store, "clips/"), [
    `clips/${batch}.000000/2/a`,
    `clips/${batch}.000001/1/a`,
  ]);
  tell({ effects: [{ type: "superseded", ref, report: "completed", discard: true }] });
  await settle(async () => (await keysOf(store, "clips/")).length === 1);
  await janitor.stop();
});

async function settle(done: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200 && !(await done()); i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
