// Runs test files with Node's own runner and counts single tests. Files are always listed: given a
// directory, Node 20 would also run helpers below any folder named "test".
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { filesBelow, inRoot, run } from "./steps.mjs";

/** Compiled test files of the sources below these folders. */
export function compiledTests(folders) {
  return filesBelow(folders, [".test.ts"]).map((file) => `dist/${file.replace(/\.ts$/, ".js")}`);
}

// A file that hangs is killed and has failed; the others still get their turn.
const fileMinutesMax = 5;
const longFileMinutesMax = 120;

/**
 * Resolves to how many tests passed and failed; a file that does not even load is a failed test.
 */
export async function runNodeTests(name, files, { concurrency, env = {} } = {}) {
  if (files.length === 0) return { passed: 0, failed: 0 };
  mkdirSync(inRoot("build", "test"), { recursive: true });
  const report = inRoot("build", "test", `${name}.tap`);
  rmSync(report, { force: true });
  const minutes = env.TOCAFARM_TEST_LONG ? longFileMinutesMax : fileMinutesMax;
  const status = await run(
    process.execPath,
    [
      "--test",
      `--test-timeout=${minutes * 60_000}`,
      ...(concurrency === undefined ? [] : [`--test-concurrency=${concurrency}`]),
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      "--test-reporter=tap",
      `--test-reporter-destination=${report}`,
      ...files,
    ],
    { env },
  );
  const summary = existsSync(report) ? readFileSync(report, "utf8") : "";
  const count = (word) => Number(new RegExp(`^# ${word} (\\d+)$`, "m").exec(summary)?.[1] ?? 0);
  const failed = count("fail") + count("cancelled");
  return { passed: count("pass"), failed: failed === 0 && status !== 0 ? 1 : failed };
}
