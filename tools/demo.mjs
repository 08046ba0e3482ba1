// The demo: set-up, build, then the demo model's prompts as one batch on two CPU workers. Further
// arguments go to `tocafarm render`, where the last one given wins.
import { build } from "./build.mjs";
import { setUp } from "./setup.mjs";
import { inRoot, run, runTool } from "./steps.mjs";

await runTool(async (args) => {
  await setUp();
  await build();
  const demo = ["--model", "models/demo", "--prompts", "models/demo/prompts.txt"];
  const farm = ["--policy", "toca", "--device", "cpu", "--workers", "2"];
  const output = ["--output", "renders/demo"];
  const render = [inRoot("dist", "cli", "main.js"), "render", ...demo, ...farm, ...output];
  return run(process.execPath, [...render, ...args]);
});
