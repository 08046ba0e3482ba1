// The benchmarks: gemm against bare oneDNN, a policy's time saved against its FLOPs saved on a
// random STDiT3 of the real width, and where a clip's time goes on the demo model. Ratios within
// one run are what counts. Results go to bench/results/ as JSON; docs/performance.md keeps the
// figures with machine and date.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { addonOptions, build, buildNative } from "./build.mjs";
import { setUp } from "./setup.mjs";
import { inRoot, run, runTool, say, ToolError } from "./steps.mjs";

const bin = (name) => inRoot("build", "native", "bench", name);
const widthModel = inRoot("build", "bench", "stdit3-1152");

async function measured(what, command, args) {
  say(what);
  const stdout = [];
  const status = await run(command, args, { stdout, quiet: true });
  const text = Buffer.concat(stdout).toString();
  if (status !== 0) throw new ToolError(`${what} failed with status ${status}`);
  console.log(text);
  return JSON.parse(text);
}

async function randomModel() {
  if (existsSync(`${widthModel}/config.json`)) return;
  say("writing a random STDiT3: hidden 1152, 16 heads, depth 2");
  const sizes = ["--hidden", "1152", "--heads", "16", "--depth", "2"];
  const status = await run(bin("random_stdit3"), [widthModel, ...sizes]);
  if (status !== 0) throw new ToolError("random_stdit3 failed");
}

await runTool(async () => {
  await setUp();
  await build();
  await buildNative("build/native", [...addonOptions(), "-DTOCAFARM_BENCH=ON"]);
  await randomModel();
  const denoise = (policy, dtype) =>
    measured(`${policy}, hidden 1152, 240p 17 frames, ${dtype}`, bin("bench_denoise"), [
      widthModel,
      ...["--policy", policy, "--dtype", dtype, "--json"],
    ]);
  const results = {
    date: new Date().toISOString(),
    gemm: await measured("gemm against bare oneDNN", bin("bench_gemm"), ["--json"]),
    width1152: {
      toca: await denoise("toca", "fp32"),
      fora: await denoise("fora", "fp32"),
      tocaBf16: await denoise("toca", "bf16"),
    },
    demo: await measured("stages on the demo model", process.execPath, [
      inRoot("dist", "bench", "stages.js"),
    ]),
  };
  mkdirSync(inRoot("bench", "results"), { recursive: true });
  const file = inRoot("bench", "results", `${results.date.slice(0, 10)}.json`);
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  say(`results are in ${file}`);
});
