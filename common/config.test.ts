import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress, parseFlags, usage } from "./config.js";

const table = {
  data: { type: "string", required: true, help: "data folder", value: "DIR" },
  listen: { type: "address", default: "127.0.0.1:0", help: "where to serve" },
  threads: { type: "integer", min: 0, max: 64, default: 0, help: "threads" },
  model: { type: "strings", help: "model folder" },
  dtype: { type: "choice", choices: ["fp32", "bf16"], help: "number format" },
  verbose: { type: "boolean", help: "say more" },
  level: { type: "string", env: "LEVEL", default: "info", help: "log level" },
} as const;

test("flags are read with their types, defaults and repetitions", () => {
  const flags = parseFlags(table, ["--data", "/d", "--threads=3", "--model", "a", "--model", "b"]);
  const threads: number = flags.threads;
  const dtype: "fp32" | "bf16" | undefined = flags.dtype;
  assert.equal(flags.data, "/d");
  assert.equal(flags.listen, "127.0.0.1:0");
  assert.equal(threads, 3);
  assert.equal(dtype, undefined);
  assert.deepEqual(flags.model, ["a", "b"]);
  assert.equal(flags.verbose, false);
});

test("a flag wins over its environment variable, which wins over the default", () => {
  assert.equal(parseFlags(table, ["--data=d"]).level, "info");
  assert.equal(parseFlags(table, ["--data=d"], { LEVEL: "debug" }).level, "debug");
  assert.equal(parseFlags(table, ["--data=d", "--level=warn"], { LEVEL: "debug" }).level, "warn");
});

const refusals: readonly [readonly string[], RegExp][] = [
  [[], /--data is required/],
  [["--data=d", "--thread=3"], /unknown flag --thread; did you mean --threads\?/],
  [["--data=d", "--qqqqqqqq"], /--help lists the flags/],
  [["--data"], /--data needs a value/],
  [["--data", "--verbose"], /--data needs a value/],
  [["--data=d", "--threads=65"], /--threads is 65; a whole number from 0 to 64/],
  [["--data=d", "--threads=1.5"], /a whole number/],
  [["--data=d", "--threads="], /a whole number/],
  [["--data=d", "--dtype=fp8"], /--dtype is fp8; one of fp32, bf16/],
  [["--data=d", "--data=e"], /--data is given twice/],
  [["--data=d", "--listen=nowhere"], /"nowhere" is no address/],
  [["--data=d", "stray"], /unexpected argument "stray"/],
  [["--data=d", "--constructor=1"], /unknown flag/],
];

for (const [argv, message] of refusals) {
  test(`refused: ${JSON.stringify(argv)}`, () => {
    assert.throws(() => parseFlags(table, argv), { code: "INVALID_ARGUMENT", message });
  });
}

test("addresses are split into host and port, with brackets for IPv6", () => {
  assert.deepEqual(parseAddress("127.0.0.1:80"), { host: "127.0.0.1", port: 80 });
  assert.deepEqual(parseAddress("[::1]:0"), { host: "::1", port: 0 });
  assert.throws(() => parseAddress("host:70000"), { code: "INVALID_ARGUMENT" });
});

test("usage shows every flag with its default", () => {
  const text = usage(table);
  assert.match(text, /--data DIR/);
  assert.match(text, /--dtype fp32\|bf16/);
  assert.match(text, /\[127\.0\.0\.1:0\]/);
});
