import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultRules } from "./core/rules.js";
import { parseRules, readRules } from "./rules-file.js";

test("an empty file leaves every rule as it is", () => {
  assert.deepEqual(parseRules("{}"), defaultRules);
});

test("what a file gives stands over the defaults, a tenant's over those of all tenants", () => {
  const rules = parseRules(
    JSON.stringify({
      retry: { failuresMax: 5, io: { backoffMs: 9 } },
      preemption: { enabled: false },
      tenantDefault: { devicesMax: 8 },
      tenants: { film: { weight: 2.5 }, ads: {} },
    }),
  );
  const io = { ...defaultRules.retry.io, backoffMs: 9 };
  assert.deepEqual(rules.retry, { ...defaultRules.retry, failuresMax: 5, io });
  assert.deepEqual(rules.preemption, { ...defaultRules.preemption, enabled: false });
  const everyone = { ...defaultRules.tenantDefault, devicesMax: 8 };
  assert.deepEqual(rules.tenantDefault, everyone);
  assert.deepEqual(rules.tenants, { film: { ...everyone, weight: 2.5 }, ads: everyone });
  assert.deepEqual(rules.stuck, defaultRules.stuck);
});

const mistakes = [
  ["no JSON", "{", /it is no JSON/],
  ["no object", "[]", /it is \[\]; an object is wanted/],
  ["an unknown rule", '{"retri":{}}', /there is no rule retri; did you mean retry\?/],
  ["an unknown part", '{"retry":{"failureMax":1}}', /no rule retry.failureMax; .* failuresMax\?/],
  ["a tenant's typo", '{"tenants":{"a":{"weigth":1}}}', /no rule tenants.a.weigth; .* weight\?/],
  ["the lease's time", '{"leaseMs":5000}', /there is no rule leaseMs/],
  ["a text", '{"tierRaiseMs":"1"}', /tierRaiseMs is "1"; a whole number from 0/],
  ["a fraction", '{"retry":{"failuresMax":1.5}}', /failuresMax is 1.5; a whole number from 1/],
  ["no weight", '{"tenants":{"a":{"weight":0}}}', /tenants.a.weight is 0; a number from 0.001/],
  ["no flag", '{"preemption":{"enabled":1}}', /preemption.enabled is 1; true or false/],
  ["nothing where much is", '{"stuck":null}', /stuck is null; an object is wanted/],
] as const;

for (const [what, text, message] of mistakes) {
  test(`a rules file with ${what} is refused with its place`, () => {
    assert.throws(() => parseRules(text), { code: "INVALID_ARGUMENT", message });
  });
}

test("a rules file that is not there is named", () => {
  assert.throws(() => readRules("/nowhere/rules.json"), {
    code: "INVALID_ARGUMENT",
    message: /--rules \/nowhere\/rules.json: ENOENT/,
  });
});
