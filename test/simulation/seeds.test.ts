// Small worlds by the hundred: the real core among crashing, freezing, lying and vanishing
// processes, with every promise checked after every event. A failing seed is shrunk, and its
// history printed. `npm run test:long` runs 10,000 seeds; TOCAFARM_SIMULATION_SEED=N tries others,
// from N on.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { checkSeed } from "../../simulation/check.js";

const long = process.env["TOCAFARM_TEST_LONG"] === "1";
const seedsAll = long ? 10_000 : 300;
const first = Number(process.env["TOCAFARM_SIMULATION_SEED"] ?? 0);

/** Rows that run at once. */
const rows = 2;
const row = fileURLToPath(new URL("../support/simulation-seeds.js", import.meta.url));

interface Row {
  readonly seeds: number;
  readonly events: number;
  readonly failures: readonly string[];
}

async function runRow(index: number): Promise<Row> {
  const count = seedsAll / rows;
  const args = [row, `${first + index * count}`, `${count}`];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout); // by our own process
}

test(`the farm keeps its promises in ${seedsAll} worlds from seed ${first} on`, async (t) => {
  const results = await Promise.all(Array.from({ length: rows }, (_, index) => runRow(index)));
  const failures = results.flatMap((result) => result.failures);
  const sum = (of: (result: Row) => number) => results.reduce((all, each) => all + of(each), 0);
  t.diagnostic(`${sum(({ seeds }) => seeds)} seeds, ${sum(({ events }) => events)} events`);
  assert.equal(failures.length, 0, `\n${failures.join("\n\n")}\n`);
});

test("the same seed gives the same world, event by event", () => {
  const [one, other] = [checkSeed(17), checkSeed(17)];
  assert.deepEqual(one, other);
  assert.ok(one.events > 10);
});
