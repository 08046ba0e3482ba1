// The tables of docs/performance.md that benchmarks make: each lies between two marks and is
// written anew from the results, so that what the page says is what was measured.
import type { Results } from "./results.js";

const opening = (name: string) => `<!-- made by "npm run bench ${name}" -->`;
const closing = "<!-- end -->";

interface GemmLine {
  readonly layer: string;
  readonly dtype: string;
  readonly rows: number;
  readonly in: number;
  readonly out: number;
  readonly gflops: number;
  readonly bare_gflops: number;
  readonly share: number;
}

interface StepKind {
  readonly count: number;
  readonly seconds_per_step: number;
}

interface Denoised {
  readonly seconds: number;
  readonly gflop_per_second: number;
  readonly steps: Readonly<Record<string, StepKind>>;
}

interface DenoiseResult {
  readonly dtype: string;
  readonly none: Denoised;
  readonly policies: readonly {
    readonly policy: string;
    readonly cached: Denoised;
    readonly flop_ratio: number;
    readonly time_ratio: number;
    readonly efficiency: number;
  }[];
  readonly decode_seconds?: number;
  readonly weights_bytes: number;
  readonly peak_bytes: number;
}

interface DemoRun {
  readonly stages: {
    readonly text_encode: number;
    readonly denoise: number;
    readonly decode: number;
  };
  readonly gflop: number;
  readonly steps: Readonly<Record<string, { count: number; secondsPerStep: number }>>;
}

interface DemoResult {
  readonly none: DemoRun;
  readonly toca: DemoRun;
  readonly flopRatio: number;
  readonly timeRatio: number;
  readonly efficiency: number;
}

interface PeersResult {
  readonly parts: readonly {
    readonly what: string;
    readonly dtype: string;
    readonly seconds: {
      readonly engine: number;
      readonly torch: number;
      readonly compiled?: number;
    };
    readonly faster: { readonly torch: number; readonly compiled?: number };
    readonly difference: number;
  }[];
  readonly policies: readonly {
    readonly policy: string;
    readonly dtype: string;
    readonly seconds: { readonly engine: number; readonly torch: number };
    readonly saved: { readonly engine: number; readonly torch: number };
    readonly modules: number;
    readonly computed: number;
    readonly faster: number;
    readonly difference: number;
  }[];
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
const times = (ratio: number | undefined) => (ratio === undefined ? "" : `${ratio.toFixed(2)} ×`);
const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Three digits, in the unit that suits. */
function duration(seconds: number | undefined): string {
  if (seconds === undefined) return "";
  if (seconds >= 1) return `${seconds.toPrecision(3)} s`;
  const ms = 1000 * seconds;
  return ms >= 100 ? `${ms.toFixed(0)} ms` : `${ms.toPrecision(3)} ms`;
}

/** Heads that begin with ">" are of numbers. */
function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rules = heads.map((head) => (head.startsWith(">") ? "---:" : "---"));
  const names = heads.map((head) => head.replace(/^>/, ""));
  return [line(names), `|${rules.join("|")}|`, ...rows.map(line)].join("\n");
}

function gemm(lines: readonly GemmLine[]): string {
  const figures = (line: GemmLine | undefined) =>
    line === undefined
      ? ["", "", ""]
      : [line.gflops.toFixed(0), line.bare_gflops.toFixed(0), percent(line.share)];
  const of = (dtype: string) => lines.filter((line) => line.dtype === dtype);
  const rows = of("fp32").map((line) => {
    const half = of("bf16").find(({ layer }) => layer === line.layer);
    const shape = `${line.rows} × ${line.in} × ${line.out}`;
    return [line.layer, shape, ...figures(line), ...figures(half)];
  });
  const columns = [">fp32", ">bare", ">share", ">bf16", ">bare", ">share"];
  return table(["layer", "rows × in × out", ...columns], rows);
}

function stepsOf({ steps }: Denoised): readonly string[] {
  return ["full", "mixed", "partial"].map((kind) => {
    const found = steps[kind];
    return found === undefined ? "" : `${found.count} × ${duration(found.seconds_per_step)}`;
  });
}

function denoised(results: readonly DenoiseResult[]): string {
  const rows = results.flatMap(({ dtype, none, policies }) => {
    const row = (policy: string, of: Denoised, saved: readonly string[]) => {
      const speed = of.gflop_per_second.toFixed(0);
      return [policy, dtype, duration(of.seconds), speed, ...stepsOf(of), ...saved];
    };
    const cached = policies.map((run) => {
      const saved = [times(run.flop_ratio), times(run.time_ratio), percent(run.efficiency)];
      return row(run.policy, run.cached, saved);
    });
    return [row("none", none, ["", "", ""]), ...cached];
  });
  const steps = [">full steps", ">mixed steps", ">partial, reused or skipped"];
  const saved = [">FLOPs saved", ">time saved", ">time / FLOPs"];
  return table(["policy", "dtype", ">denoise", ">GFLOP/s", ...steps, ...saved], rows);
}

function xl2(result: DenoiseResult): string {
  const memory = `Weights ${gib(result.weights_bytes)}, peak memory ${gib(result.peak_bytes)}`;
  return `${denoised([result])}\n\nDecode ${duration(result.decode_seconds)}. ${memory}.`;
}

function demo(result: DemoResult): string {
  const rows = [result.none, result.toca].map((run, index) => {
    const { text_encode, denoise, decode } = run.stages;
    const steps = ["full", "mixed", "partial"].map((kind) => {
      const found = run.steps[kind];
      return found === undefined ? "" : `${found.count} × ${duration(found.secondsPerStep)}`;
    });
    const stages = [text_encode, denoise, decode].map(duration);
    return [index === 0 ? "none" : "toca", ...stages, run.gflop.toFixed(1), ...steps];
  });
  const kinds = [">full steps", ">all but cross-attention", ">partial steps"];
  const heads = ["policy", ">text", ">denoise", ">decode", ">GFLOP", ...kinds];
  const saved = `FLOPs saved ${times(result.flopRatio)}, time saved ${times(result.timeRatio)}`;
  return `${table(heads, rows)}\n\n${saved}: ${percent(result.efficiency)}.`;
}

function peers(result: PeersResult): string {
  const parts = result.parts.map(({ what, dtype, seconds, faster, difference }) => [
    what,
    dtype,
    ...[seconds.engine, seconds.torch, seconds.compiled].map(duration),
    times(faster.torch),
    times(faster.compiled),
    difference.toExponential(0),
  ]);
  const policies = result.policies.map((line) => [
    line.policy,
    line.dtype,
    `${line.computed} of ${result.policies[0]?.computed ?? line.modules}`,
    duration(line.seconds.engine),
    duration(line.seconds.torch),
    times(line.saved.engine),
    times(line.saved.torch),
    times(line.faster),
    line.difference.toExponential(0),
  ]);
  const speed = [">engine", ">PyTorch", ">compiled", ">faster", ">than compiled", ">apart by"];
  const saved = [">engine", ">diffusers", ">engine saves", ">diffusers saves", ">faster"];
  return [
    table(["part", "dtype", ...speed], parts),
    table(["policy", "dtype", ">modules computed", ...saved, ">apart by"], policies),
  ].join("\n\n");
}

const makers: Readonly<Record<string, (result: never) => string>> = {
  demo,
  width1152: denoised,
  xl2,
  gemm,
  peers,
};

/** The page with every marked table as the results say; one without results stays as it is. */
export function pageWithTables(page: string, results: Results): string {
  let made = page;
  for (const [name, make] of Object.entries(makers)) {
    const start = made.indexOf(opening(name));
    const result = results[name];
    if (start < 0 || result === undefined) continue;
    const end = made.indexOf(closing, start);
    if (end < 0) throw new Error(`the table of ${name} has no end: add ${closing}`);
    const text = make(result as never);
    made = `${made.slice(0, start)}${opening(name)}\n\n${text}\n\n${made.slice(end)}`;
  }
  return made;
}
