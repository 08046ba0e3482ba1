// The benchmarks: gemm against bare oneDNN, a policy's time saved against its FLOPs saved on a
// random STDiT3 of the real width, the parts of the models beside PyTorch's, where a clip's time
// goes on the demo model, and what the farm around it does in a second. Ratios within one run are
// what counts. Results go to bench/results/ as JSON; docs/performance.md keeps the figures with
// machine and date. Names as arguments run only those and leave the other results of the day as
// they are.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { addonOptions, build, buildNative } from "./build.mjs";
import { setUp, setUpBench, setUpPeers } from "./setup.mjs";
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

const denoise = (policy, dtype) =>
  measured(`${policy}, hidden 1152, 240p 17 frames, ${dtype}`, bin("bench_denoise"), [
    widthModel,
    ...["--policy", policy, "--dtype", dtype, "--json"],
  ]);

async function peers() {
  const python = await setUpPeers();
  const folders = [inRoot("build", "bench", "peers"), inRoot("build", "native", "bench")];
  const program = inRoot("bench", "peers", "peers.py");
  return measured("the models' parts beside PyTorch's", python, [program, ...folders]);
}

const compiled = (what, name, flags = []) =>
  measured(what, process.execPath, [...flags, inRoot("dist", "bench", `${name}.js`)]);

const benchmarks = {
  gemm: () => measured("gemm against bare oneDNN", bin("bench_gemm"), ["--json"]),
  width1152: async () => ({
    toca: await denoise("toca", "fp32"),
    fora: await denoise("fora", "fp32"),
    tocaBf16: await denoise("toca", "bf16"),
  }),
  peers,
  demo: () => compiled("stages on the demo model", "stages"),
  placement: () => compiled("leases a second, beside BullMQ", "placement"),
  failover: () => compiled("from a leader's end to the next lease", "failover"),
  decisions: () => compiled("decisions of the pure core", "decisions", ["--expose-gc"]),
  log: () => compiled("the event log", "log"),
  simulation: () => compiled("a simulated farm of 10,000 devices", "simulation"),
};

function chosenBenchmarks(args) {
  const unknown = args.find((name) => !Object.hasOwn(benchmarks, name));
  if (unknown !== undefined) {
    const known = Object.keys(benchmarks).join(" ");
    throw new ToolError(`unknown argument ${unknown}; known: ${known}`);
  }
  return args.length > 0 ? args : Object.keys(benchmarks);
}

await runTool(async (args) => {
  const names = chosenBenchmarks(args);
  await setUp();
  await setUpBench();
  await build();
  await buildNative("build/native", [...addonOptions(), "-DTOCAFARM_BENCH=ON"]);
  if (names.includes("width1152")) await randomModel();
  const date = new Date().toISOString();
  const file = inRoot("bench", "results", `${date.slice(0, 10)}.json`);
  const results = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  for (const name of names) {
    results[name] = await benchmarks[name]();
    results.measuredAt = { ...results.measuredAt, [name]: date };
  }
  mkdirSync(inRoot("bench", "results"), { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  say(`results are in ${file}`);
});
