import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readHitRates } from "./hit-rates.js";

const folder = mkdtempSync(join(tmpdir(), "tocafarm-hit-rates-"));
after(() => rmSync(folder, { recursive: true }));

/** A profile of one layer; columns stand in another order than the worker's today. */
function profile(name: string, steps: readonly (readonly [step: number, ...reused: number[]])[]) {
  const columns = ["module", "tokens_reused", "layer", "block", "tokens_computed", "drift"];
  const file = join(folder, name);
  const rows = steps.map(([step, ...reused]) => ({
    step,
    modules: reused.map((count, at) => [
      ...[at === 0 ? "self_attention" : "mlp", count, 0, "spatial", 10 - count, null],
    ]),
  }));
  writeFileSync(file, JSON.stringify({ columns, steps: rows }));
  return file;
}

test("tokens of all clips count together, by module and step", async () => {
  const a = profile("a.json", [
    [0, 0, 0],
    [1, 10, 4],
  ]);
  const b = profile("b.json", [
    [0, 0, 0],
    [1, 10, 8],
  ]);
  assert.deepEqual(await readHitRates([a, b], 2), {
    modules: [
      { layer: 0, block: "spatial", module: "self_attention" },
      { layer: 0, block: "spatial", module: "mlp" },
    ],
    steps: 2,
    rates: [
      [0, 1],
      [0, 0.6],
    ],
  });
});

test("steps that no profile has are unknown, not missed", async () => {
  const resumed = profile("resumed.json", [[2, 5, 5]]);
  const { rates } = await readHitRates([resumed], 3);
  assert.deepEqual(rates, [
    [null, null, 0.5],
    [null, null, 0.5],
  ]);
});

test("a damaged profile is named", async () => {
  const file = join(folder, "damaged.json");
  writeFileSync(file, "{");
  await assert.rejects(readHitRates([file], 1), { code: "IO", message: /damaged\.json cannot/ });
});
