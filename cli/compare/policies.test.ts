import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { policiesMax, readPolicies } from "./policies.js";

const labels = async (text: string, ...options: readonly string[]) =>
  (await readPolicies(text, options)).map(({ label }) => label);

test("none and half the steps are always there, once", async () => {
  assert.deepEqual(await labels("toca"), ["none", "steps(ratio=0.5)", "toca"]);
  assert.deepEqual(await labels("toca,none,steps(ratio=0.5)"), [
    ...["none", "toca", "steps(ratio=0.5)"],
  ]);
});

test("options are written behind a name, and sorted", async () => {
  const [, , policy] = await readPolicies("toca(interval=4, fresh_ratio=0.2)", []);
  assert.deepEqual(policy?.policy, {
    name: "toca",
    options: { interval: "4", fresh_ratio: "0.2" },
  });
  assert.equal(policy?.label, "toca(fresh_ratio=0.2,interval=4)");
  assert.equal(policy?.folder, "toca,fresh_ratio=0.2,interval=4");
});

test("a value may hold commas", async () => {
  const [, , policy] = await readPolicies("mask(steps=0,1,2,blocks=3,4)", []);
  assert.deepEqual(policy?.policy.options, { steps: "0,1,2", blocks: "3,4" });
  const rules = "all=0,3,6-9;spatial.mlp@0-13=0-29";
  const [, , mask] = await readPolicies(`module_mask(for_steps=30,refresh=${rules})`, []);
  assert.deepEqual(mask?.policy.options, { for_steps: "30", refresh: rules });
});

test("--policy-option sets every policy of its name", async () => {
  const given = await labels("fora,toca,toca(interval=4)", "toca.fresh_ratio=0.3");
  assert.deepEqual(given.slice(2), [
    ...["fora", "toca(fresh_ratio=0.3)", "toca(fresh_ratio=0.3,interval=4)"],
  ]);
});

test("an option of all goes to those that keep a cache and say nothing else", async () => {
  const all = await readPolicies("toca,fora(cache_dtype=fp8)", [], { cache_dtype: "bf16" });
  assert.deepEqual(
    all.map(({ label }) => label),
    ["none", "steps(ratio=0.5)", "toca(cache_dtype=bf16)", "fora(cache_dtype=fp8)"],
  );
});

test("two policies in one take options of either by name", async () => {
  const given = await labels("magcache+toca(toca.interval=4)", "magcache+toca.delta=0.1");
  assert.equal(given.at(-1), "magcache+toca(delta=0.1,toca.interval=4)");
});

test("a policy file may stand for a name", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tocafarm-policies-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "mine.json");
  writeFileSync(file, '{"name": "fora", "options": {"interval": 5}}');
  assert.deepEqual((await labels(file)).at(-1), "fora(interval=5)");
  writeFileSync(file, '{"name": "fora", "calibration": {"steps": 30}}');
  const [, , read] = await readPolicies(file, ["fora.interval=4"]);
  assert.equal(read?.policy.calibration?.steps, 30);
  assert.equal(read?.label, "fora(interval=4)");
  writeFileSync(file, '["fora"]');
  await assert.rejects(labels(file), /names no policy; \{"name"/);
  writeFileSync(file, "fora");
  await assert.rejects(labels(file), /is no JSON/);
  await assert.rejects(labels(join(folder, "absent.json")), { code: "NOT_FOUND" });
});

test("policies that only a folder's name cannot hold get folders of their own", async () => {
  const long = "1,".repeat(200);
  const all = await readPolicies(`mask(steps=${long}1),mask(steps=${long}2),a(b=c/d),a(b=c_d)`, []);
  const folders = all.map(({ folder }) => folder);
  assert.equal(new Set(folders).size, all.length);
  assert.ok(folders.every((folder) => /^[A-Za-z0-9_.,=-]{1,133}$/.test(folder)));
});

test("what makes no sense is refused with the remedy", async () => {
  const wrong: readonly (readonly [text: string, options: readonly string[], RegExp])[] = [
    ["", [], /has ""; names are wanted/],
    ["toca,,fora", [], /has ""; names/],
    ["toca(interval=3", [], /brackets do not match/],
    ["toca)", [], /brackets do not match/],
    ["toca((a=1))", [], /brackets do not match/],
    ["toca(3)", [], /"3" is no NAME=VALUE/],
    ["toca(interval=3,interval=4)", [], /gives interval twice/],
    ["toca,toca", [], /toca twice/],
    ["toca(a=1,b=2),toca(b=2,a=1)", [], /twice/],
    ["toca", ["interval=3"], /POLICY\.NAME=VALUE/],
    ["toca", ["fora.interval=3"], /fora is not among/],
    ["toca(interval=3)", ["toca.interval=4"], /toca\.interval is given twice/],
    [Array.from({ length: policiesMax }, (_, at) => `p${at}`).join(","), [], /at most 24/],
  ];
  for (const [text, options, words] of wrong) {
    await assert.rejects(readPolicies(text, options), { code: "INVALID_ARGUMENT", message: words });
  }
});
