// Format, lint, types, house rules. `--write` formats what can be formatted. Every check runs even
// when one fails, so that one run tells all there is to mend.
import { fileURLToPath } from "node:url";
import { compileTypeScript, generateFromProto } from "./build.mjs";
import { runNodeTests } from "./node-tests.mjs";
import { filesBelow, run, runTool, say, ToolError } from "./steps.mjs";

/** Runs all checks; resolves to how many passed and failed. */
export async function check({ write = false } = {}) {
  await generateFromProto();
  const native = filesBelow(["native"], [".cpp", ".h", ".cu", ".cuh"]);
  const checks = [
    ["format and lint: biome", () => run("biome", ["check", ...(write ? ["--write"] : [])])],
    ["types: tsc", succeeds(compileTypeScript)],
    [
      "C++ format: clang-format",
      () => run("clang-format", [...(write ? ["-i"] : ["--dry-run", "-Werror"]), ...native]),
    ],
    ["proto: buf lint", () => run("buf", ["lint"])],
  ];
  let passed = 0;
  let failed = 0;
  for (const [name, step] of checks) {
    say(name);
    if ((await step()) === 0) passed++;
    else failed++;
  }
  say("house rules: test/tidy.test.ts");
  const tidy = await runNodeTests("tidy", ["dist/test/tidy.test.js"]);
  return { passed: passed + tidy.passed, failed: failed + tidy.failed };
}

function succeeds(step) {
  return async () => {
    try {
      await step();
      return 0;
    } catch (error) {
      if (error instanceof ToolError) return 1;
      throw error;
    }
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runTool(async (args) => {
    const unknown = args.find((argument) => argument !== "--write");
    if (unknown !== undefined) throw new ToolError(`unknown argument ${unknown}; known: --write`);
    const { passed, failed } = await check({ write: args.includes("--write") });
    console.log(`${passed} checks passed, ${failed} failed`);
    return failed === 0 ? 0 : 1;
  });
}
