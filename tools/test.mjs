// The one test command: set-up, build, then every suite, also after one has failed. It ends with
// "N passed, N failed", counted in single tests, and fails when a test failed or a suite ran none.
// Names of suites as arguments run only those; `--long` lets tests take their long forms.
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { build, buildNative } from "./build.mjs";
import { check } from "./check.mjs";
import { compiledTests, runNodeTests } from "./node-tests.mjs";
import { setUp, setUpTests } from "./setup.mjs";
import { inRoot, run, runTool, ToolError } from "./steps.mjs";

const sourceFolders = [
  ..."artifacts bench cli common coordinator engine simulation worker".split(" "),
];

/** Each resolves to how many tests passed and failed. */
const suites = {
  check: () => check(),
  unit: (env) => runNodeTests("unit", compiledTests(sourceFolders), { env }),
  native: () => runNativeTests("build/native"),
  golden: runGoldenCases,
  // They mostly wait for leases that end, servers that are silent, processes that start: two files
  // at a time, of which no two share a server, a port or a folder.
  integration: (env) =>
    runNodeTests("integration", compiledTests(["test/integration"]), { concurrency: 2, env }),
  // One file after another: each has rows of worlds that run at once.
  simulation: (env) =>
    runNodeTests("simulation", compiledTests(["test/simulation"]), { concurrency: 1, env }),
  // Farms that are struck mostly wait for what comes back, so two at a time.
  chaos: (env) => runNodeTests("chaos", compiledTests(["test/chaos"]), { concurrency: 2, env }),
  sanitizers: async () => {
    await buildNative("build/sanitize", ["-DTOCAFARM_SANITIZE=ON"]);
    return runNativeTests("build/sanitize");
  },
};

async function runNativeTests(folder) {
  const args = ["--test-dir", folder, "--output-on-failure", "-j", `${availableParallelism()}`];
  const stdout = [];
  const status = await run("ctest", args, { stdout });
  const summary = /(\d+) tests? failed out of (\d+)/.exec(Buffer.concat(stdout).toString());
  return counted(Number(summary?.[2] ?? 0) - Number(summary?.[1] ?? 0), summary?.[1], status);
}

// A runner that ended badly without saying which test failed has failed itself.
function counted(passed, failedText, status) {
  const failed = Number(failedText ?? 0);
  return { passed, failed: failed === 0 && status !== 0 ? 1 : failed };
}

async function runGoldenCases() {
  const stdout = [];
  const args = [inRoot("dist", "cli", "main.js"), "verify", ...goldenCases()];
  const status = await run(process.execPath, args, { stdout });
  const summary = /^(\d+) passed, (\d+) failed$/m.exec(Buffer.concat(stdout).toString());
  return counted(Number(summary?.[1] ?? 0), summary?.[2], status);
}

// README.md and models/ lie beside the cases.
function goldenCases() {
  return ["test/golden", "models/demo-reference"].flatMap((folder) =>
    readdirSync(inRoot(folder))
      .map((name) => path.join(folder, name))
      .filter((candidate) => existsSync(inRoot(candidate, "case.json"))),
  );
}

function chosenSuites(args) {
  const names = args.filter((argument) => argument !== "--long");
  const unknown = names.find((name) => !Object.hasOwn(suites, name));
  if (unknown !== undefined) {
    throw new ToolError(
      `unknown argument ${unknown}; known: --long ${Object.keys(suites).join(" ")}`,
    );
  }
  return names.length > 0 ? names : Object.keys(suites);
}

async function runSuite(name, env) {
  const startMs = performance.now();
  console.log(`\n### ${name}`);
  let counts;
  try {
    counts = await suites[name](env);
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    console.error(`tocafarm: ${error.message}`);
    counts = { passed: 0, failed: 1 };
  }
  if (counts.passed + counts.failed === 0) {
    console.error(`tocafarm: suite ${name} ran no test; that is a failure`);
    counts = { passed: 0, failed: 1 };
  }
  return { name, ...counts, seconds: (performance.now() - startMs) / 1000 };
}

await runTool(async (args) => {
  const names = chosenSuites(args);
  await setUp();
  await setUpTests();
  await build();
  const env = args.includes("--long") ? { TOCAFARM_TEST_LONG: "1" } : {};
  const results = [];
  for (const name of names) results.push(await runSuite(name, env));
  console.log("");
  for (const { name, passed, failed, seconds } of results) {
    const counts = `${`${passed}`.padStart(5)} passed ${`${failed}`.padStart(4)} failed`;
    console.log(`${name.padEnd(12)} ${counts} ${seconds.toFixed(1).padStart(8)} s`);
  }
  const sum = (field) => results.reduce((total, result) => total + result[field], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") === 0 ? 0 : 1;
});
