// Where the time of a clip goes on the demo model, under policy none and under toca: the same clip
// rendered under both in turn, in one process, the median of several rounds. Prints JSON: seconds
// and FLOPs of every stage and of every kind of step.
//
//   node dist/bench/stages.js [rounds] [threads]
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Engine, type EngineEvent, type RenderRequest } from "../engine/engine.js";

const modelPath = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../models/demo");
const policies = ["none", "toca"] as const;
type PolicyName = (typeof policies)[number];

interface StepSums {
  count: number;
  seconds: number;
  flops: number;
}

interface Run {
  readonly stages: Record<string, number>;
  readonly steps: Record<string, StepSums>;
  flops: number;
  flopsNone: number;
}

function requestOf(name: PolicyName): RenderRequest {
  return {
    prompt: "a red circle moves right on a white background",
    frames: 17,
    height: 128,
    width: 128,
    fps: 8,
    steps: 30,
    guidance: 4,
    sampler: "",
    seed: 42n,
    policy: { name, options: {} },
  };
}

/** Every module in full, none of them, or some (toca: all but cross-attention). */
function kindOf(event: Extract<EngineEvent, { type: "step" }>): "full" | "mixed" | "partial" {
  const full = event.modules.filter((module) => module.decision === "refresh").length;
  if (full === event.modules.length) return "full";
  return full === 0 ? "partial" : "mixed";
}

async function measure(engine: Engine, name: PolicyName): Promise<Run> {
  const run: Run = { stages: {}, steps: {}, flops: 0, flopsNone: 0 };
  const options = {
    request: requestOf(name),
    initialLatentPath: null,
    saveLatentPath: null,
    traceIndices: false,
    resumeFromPath: null,
    checkpointFolder: null,
    checkpointPeriodSeconds: 0,
  };
  const render = engine.render(options, (event) => {
    if (event.type === "frames") render.releaseFrames();
    if (event.type === "stage") run.stages[event.stage] = event.seconds;
    if (event.type !== "step") return;
    run.flops += event.flops;
    run.flopsNone += event.flopsNone;
    const kind = kindOf(event);
    const sums = run.steps[kind] ?? { count: 0, seconds: 0, flops: 0 };
    run.steps[kind] = sums;
    sums.count += 1;
    sums.seconds += event.seconds;
    sums.flops += event.flops;
  });
  await render.result;
  return run;
}

function denoiseSeconds(run: Run): number {
  return run.stages["denoise"] ?? Number.NaN;
}

function median(runs: readonly Run[]): Run {
  const sorted = [...runs].sort((a, b) => denoiseSeconds(a) - denoiseSeconds(b));
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new Error("no round was run");
  return middle;
}

function summary(run: Run): object {
  const steps = Object.entries(run.steps).map(([kind, { count, seconds, flops }]) => [
    kind,
    { count, secondsPerStep: seconds / count, gflopPerStep: flops / count / 1e9 },
  ]);
  return { stages: run.stages, gflop: run.flops / 1e9, steps: Object.fromEntries(steps) };
}

async function main(rounds: number, threads: number): Promise<void> {
  const engine = await Engine.create({
    model: modelPath,
    device: "cpu",
    dtype: "fp32",
    threads,
    cache: null,
  });
  const runs: Record<PolicyName, Run[]> = { none: [], toca: [] };
  await measure(engine, "none"); // warm-up
  for (let round = 0; round < rounds; round += 1) {
    for (const name of policies) runs[name].push(await measure(engine, name));
  }
  const none = median(runs.none);
  const toca = median(runs.toca);
  const flopRatio = none.flops / toca.flops;
  const timeRatio = denoiseSeconds(none) / denoiseSeconds(toca);
  const report = {
    device: engine.info.kind,
    deviceName: engine.info.deviceName,
    rounds,
    none: summary(none),
    toca: summary(toca),
    flopRatio,
    timeRatio,
    efficiency: timeRatio / flopRatio,
  };
  console.log(JSON.stringify(report, null, 2));
  await engine.close();
}

await main(Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 0));
