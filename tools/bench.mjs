// The benchmarks: gemm against bare oneDNN, policies' time saved against their FLOPs saved on a
// random STDiT3 of the real width, the model of the real size, how a step's cost grows, the parts
// of the models beside PyTorch's, where a clip's time goes on the demo model, and what the farm
// around it does in a second. Ratios within one run are what counts. Results go to bench/results/
// as JSON, beside what they were before, and into the tables and plots of docs/performance.md.
// Names as arguments run only those and leave the other results of the day as they are.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { addonOptions, build, buildNative } from "./build.mjs";
import { setUp, setUpBench, setUpPeers, setUpPlots } from "./setup.mjs";
import { inRoot, mustRun, run, runTool, say, ToolError } from "./steps.mjs";

const bin = (name) => inRoot("build", "native", "bench", name);
const resultsFolder = inRoot("bench", "results");
const page = inRoot("docs", "performance.md");

async function measured(what, command, args) {
  say(what);
  const stdout = [];
  const status = await run(command, args, { stdout, quiet: true });
  const text = Buffer.concat(stdout).toString();
  if (status !== 0) throw new ToolError(`${what} failed with status ${status}`);
  console.log(text);
  return JSON.parse(text);
}

/** A folder in build/bench that a program filled; it is made once. */
async function made(name, program, args = []) {
  const folder = inRoot("build", "bench", name);
  if (existsSync(`${folder}/config.json`)) return folder;
  say(`writing random weights: ${name}`);
  await mustRun(bin(program), [folder, ...args]);
  return folder;
}

/** The folder of a random STDiT3 of so many layers, hidden 1152, 16 heads. */
function randomModel(depth) {
  const sizes = ["--hidden", "1152", "--heads", "16", "--depth", `${depth}`];
  return made(`stdit3-1152-${depth}`, "random_stdit3", sizes);
}

/** The same clip of 17 frames under policy none and under each of the policies, in turn. */
async function denoise(model, [width, height], dtype, more) {
  const size = ["--width", `${width}`, "--height", `${height}`];
  const what = `denoising ${width}x${height}, 17 frames, ${dtype}`;
  return measured(what, bin("bench_denoise"), [
    model,
    ...size,
    "--dtype",
    dtype,
    ...more,
    "--json",
  ]);
}

async function width1152() {
  const model = await randomModel(4);
  const policies = ["--policies", "toca,fora,duca,taylorseer_lite,fbcache", "--runs", "2"];
  const results = [];
  for (const dtype of ["fp32", "bf16"]) {
    results.push(await denoise(model, [426, 240], dtype, policies));
  }
  return results;
}

async function xl2() {
  const vae = await made("vae", "random_vae");
  const model = await randomModel(28);
  return denoise(model, [256, 144], "bf16", ["--policies", "toca", "--runs", "1", "--vae", vae]);
}

async function scaling() {
  const model = await randomModel(8);
  const result = await measured("how a step's cost grows", bin("bench_scaling"), [model]);
  const python = await setUpPlots();
  const file = inRoot("build", "bench", "scaling.json");
  writeFileSync(file, JSON.stringify(result));
  await mustRun(python, [inRoot("bench", "plots", "scaling.py"), file, inRoot("docs", "plots")]);
  return result;
}

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
  width1152,
  xl2,
  scaling,
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
  mkdirSync(inRoot("build", "bench"), { recursive: true });
  const { changesSince, keepResult, latestResults } = await import(inRoot("dist/bench/results.js"));
  const { pageWithTables } = await import(inRoot("dist/bench/result-tables.js"));
  for (const name of names) {
    const before = latestResults(resultsFolder)[name];
    const result = await benchmarks[name]();
    for (const line of changesSince(before, result)) console.log(`${name}: ${line}`);
    say(`kept in ${keepResult(resultsFolder, name, result, new Date())}`);
  }
  const text = readFileSync(page, "utf8");
  writeFileSync(page, pageWithTables(text, latestResults(resultsFolder)));
});
