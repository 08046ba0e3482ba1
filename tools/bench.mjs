// Runs the native benchmarks: every executable that native/bench/ was built into. Ratios within one
// run are what counts; docs/performance.md keeps the figures.
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { build } from "./build.mjs";
import { setUp } from "./setup.mjs";
import { inRoot, mustRun, runTool, say, ToolError } from "./steps.mjs";

const folder = inRoot("build", "native", "bench");

function executables() {
  return readdirSync(folder).filter((name) => {
    try {
      accessSync(`${folder}/${name}`, constants.X_OK);
      return statSync(`${folder}/${name}`).isFile();
    } catch {
      return false;
    }
  });
}

await runTool(async (args) => {
  await setUp();
  await build();
  const names = executables();
  if (names.length === 0) throw new ToolError(`no benchmark was built in ${folder}`);
  for (const name of names) {
    say(name);
    await mustRun(`${folder}/${name}`, args);
  }
});
