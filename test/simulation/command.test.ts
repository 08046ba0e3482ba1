// `tocafarm simulate` as a user runs it: a process of its own, its answer, its plot, its errors.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { CliSandbox } from "../support/cli-process.js";

test("a few numbers on the command line give tables, and a plot in a file", async (t) => {
  const sandbox = new CliSandbox();
  t.after(() => sandbox.dispose());
  const plot = sandbox.path("farm.html");
  const numbers = ["--devices", "4", "--clips", "40", "--seconds-per-clip", "10"];
  const options = ["--tenants", "film:2,ads", "--faults", "5", "--plot", plot];
  const { status, stdout, stderr } = await sandbox.run("simulate", ...numbers, ...options);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^farm: 4 devices, busy \d+\.\d % of their time, done after .*; seed 1$/m);
  assert.match(stdout, /^film +2 +66\.7 %/m);
  assert.match(stdout, /20\/20/);
  assert.match(stdout, /^devices busy$/m);
  assert.match(readFileSync(plot, "utf8"), /^<!doctype html>[\s\S]*<svg /);
});

test("a study in a file gives the same figures as JSON every time", async (t) => {
  const sandbox = new CliSandbox();
  t.after(() => sandbox.dispose());
  const file = sandbox.path("study.json");
  const batches = [{ clips: 12, secondsPerClip: 20, deadlineMinutes: 1 }];
  writeFileSync(file, JSON.stringify({ devices: [{ kind: "gpu", count: 2 }], batches }));
  const [one, other] = [
    await sandbox.run("simulate", file, "--json"),
    await sandbox.run("simulate", file, "--json"),
  ];
  assert.equal(one.status, 0, one.stderr);
  assert.equal(one.stdout, other.stdout);
  const result = JSON.parse(one.stdout);
  assert.equal(result.batches[0].published, 12);
  // Two devices need two minutes for six clips each.
  assert.equal(result.batches[0].deadlineMissed, true);
  assert.deepEqual(result.deadlines, { kept: 0, missed: 1 });
});

test("what is wrong with a study is told in one line, as a wrong argument is", async (t) => {
  const sandbox = new CliSandbox();
  t.after(() => sandbox.dispose());
  const file = sandbox.path("study.json");
  writeFileSync(file, '{ "devices": [{ "kind": "gpu", "cuont": 2 }], "batches": [] }');
  const misspelt = await sandbox.run("simulate", file);
  assert.equal(misspelt.status, 2);
  assert.match(misspelt.stderr, /^tocafarm: .*devices\[0\] .*"cuont"; did you mean "count"\?\n$/);
  writeFileSync(file, "{");
  assert.match((await sandbox.run("simulate", file)).stderr, /study\.json is no JSON/);
  assert.equal((await sandbox.run("simulate", sandbox.path("none.json"))).status, 3);
  const both = await sandbox.run("simulate", file, "--devices", "4");
  assert.match(both.stderr, /says what is simulated, and so does devices; give one/);
  const plot = await sandbox.run("simulate", "--plot", "farm.png");
  assert.match(plot.stderr, /--plot is farm\.png; a name in \.svg or \.html is wanted/);
});
