// A plan as people and scripts read it: what a render would compute step by step, and what memory
// it would take. Every figure is the plan's; here they are only counted and laid out.
import { counted } from "../common/counted.js";
import type { ModelTexts } from "../engine/model-folder.js";
import {
  type Block,
  type Decision,
  type Dtype,
  type Module,
  makePlan,
  type Plan,
  type PlannedModule,
  type PlannedStep,
  type PlanRequest,
} from "../engine/plan.js";
import { policyText } from "./policy-text.js";
import { bytes, type Column, flops, frameCount, share, table } from "./table.js";

export interface Estimate {
  readonly model: string;
  readonly request: PlanRequest & { readonly textTokens: number };
  readonly dtype: Dtype;
  readonly plan: Plan;
  readonly warnings: readonly string[];
}

/** Throws what makePlan throws. */
export function estimate(model: ModelTexts, request: Estimate["request"], dtype: Dtype): Estimate {
  const plan = makePlan(model.configs, request, dtype);
  const warnings = [...plan.warnings, ...leftOut(model)];
  return { model: model.name, request, dtype, plan, warnings };
}

/** Parts whose memory the plan cannot know. */
function leftOut({ configs, traits }: ModelTexts): readonly string[] {
  const missing = [
    ...(configs.vae === "" ? ["vae"] : []),
    ...(configs.textEncoder === "" && traits.prompt === "text" ? ["text_encoder"] : []),
  ];
  return missing.map(
    (part) => `${part}/config.json is missing: the memory of that part is left out`,
  );
}

/** Calls of one module at one step, by what is done with it. */
type Counts = Readonly<Record<Decision, number>>;

const noCounts: Counts = { refresh: 0, partial: 0, reuse: 0, forecast: 0, conditional: 0 };

function countsOf(modules: readonly PlannedModule[]): Counts {
  const counts: Record<Decision, number> = { ...noCounts };
  for (const { decision } of modules) counts[decision] += 1;
  return counts;
}

/** Tokens that a call computes, per batch row of the guidance pair. */
function computedBy({ decision, tokens }: PlannedModule): number {
  return decision === "conditional" ? tokens / 2 : tokens;
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

/** The `--json` form: names as in the published tables, everything that the plan knows. */
export function estimateJson({ model, request, dtype, plan, warnings }: Estimate): unknown {
  const { textTokens, calibrated: _calibrated, ...asked } = request;
  return {
    model,
    request: { ...asked, text_tokens: textTokens, dtype },
    family: plan.family,
    sampler: plan.sampler,
    policy: plan.policy,
    flops_none: plan.flopsNone,
    flops: plan.flops,
    ratio: plan.flopsNone / plan.flops,
    cache_bytes: plan.cacheBytes,
    peak_bytes: plan.peakBytes,
    overlapped_peak_bytes: plan.overlappedPeakBytes,
    peak_bytes_prompt_kept: plan.peakBytesPromptKept,
    tokens: plan.tokens,
    tokens_per_frame: plan.tokensPerFrame,
    dynamic: plan.dynamic,
    latent: [plan.latentFrames, plan.latentHeight, plan.latentWidth],
    output: [plan.outputHeight, plan.outputWidth],
    refresh_points: plan.refreshPoints,
    warnings,
    digest: plan.digest,
    steps: plan.steps.map((step) => ({
      step: step.step,
      timestep: step.timestep,
      refresh_point: step.refreshPoint,
      trunk: step.trunk,
      run_share: step.runShare,
      flops: step.flops,
      modules: modulesJson(step, plan.tokens),
    })),
  };
}

/** One object for each module of each kind of block, in order of execution. */
function modulesJson({ modules }: PlannedStep, tokens: number): unknown {
  const kinds = new Map<string, { block: Block; module: Module; calls: PlannedModule[] }>();
  for (const call of modules) {
    const { block, module } = call;
    const key = `${block} ${module}`;
    const kind = kinds.get(key) ?? { block, module, calls: [] };
    kind.calls.push(call);
    kinds.set(key, kind);
  }
  return [...kinds.values()].map(({ block, module, calls }) => ({
    block,
    module,
    ...countsOf(calls),
    tokens_computed: sum(calls, computedBy),
    tokens_reused: sum(calls, (call) => tokens - computedBy(call)),
    flops: sum(calls, (call) => call.flops),
  }));
}

/** The form for people, up to 100 columns wide. */
export function estimateText(estimated: Estimate): string {
  const { plan } = estimated;
  return [
    headline(estimated),
    figures(plan),
    "",
    `Modules at each step: ${decisionsOf(plan)
      .map((decision) => decisionTexts[decision])
      .join(" / ")}.`,
    table(columnsOf(plan), plan.steps),
  ].join("\n");
}

function headline({ model, request, dtype, plan }: Estimate): string {
  const { frames, steps, textTokens } = request;
  const readsText = modulesOf(plan).has("cross_attention");
  const text = readsText ? `, ${textTokens} text tokens` : "";
  return (
    `${model}: ${frameCount(frames)} of ${plan.outputHeight}x${plan.outputWidth}, ` +
    `${counted(steps, "step")} of ${plan.sampler}, ${dtype}${text}\n` +
    `policy ${policyText(request.policy, plan.policy)}`
  );
}

function figures(plan: Plan): string {
  const same = plan.flopsNone === plan.flops;
  const ratio = same ? "the same" : `${(plan.flopsNone / plan.flops).toFixed(2)} times as many`;
  const points = plan.refreshPoints.length;
  return table<readonly [string, string]>(
    [
      { title: "FLOPs", text: ([name]) => name },
      { title: teraflops(plan.flops), text: ([, value]) => value },
    ],
    [
      ["under policy none", `${teraflops(plan.flopsNone)}: ${ratio}`],
      ["cache", bytes(plan.cacheBytes)],
      ["memory at its peak", `${bytes(plan.peakBytes)}, with weights and cache`],
      ["beside the clip before", `${bytes(plan.overlappedPeakBytes)}, while that is decoded`],
      ...promptKept(plan),
      [
        "can be resumed from",
        points === plan.steps.length ? "every step" : counted(points, "step"),
      ],
    ],
  );
}

/** What a clip takes whose prompt was encoded before; nothing where prompts are classes. */
function promptKept({ peakBytes, peakBytesPromptKept }: Plan): readonly [string, string][] {
  if (peakBytesPromptKept === peakBytes) return [];
  return [["of a prompt that is kept", `${bytes(peakBytesPromptKept)}, without the text encoder`]];
}

/** In the unit of the papers' tables, where the number is not too small for it. */
function teraflops(value: number): string {
  return value < 1e12 ? flops(value) : `${(value / 1e12).toFixed(1)} TFLOP`;
}

const decisionTexts: Readonly<Record<Decision, string>> = {
  ...{ refresh: "refreshed", partial: "partial", reuse: "reused", forecast: "forecast" },
  conditional: "conditional half",
};

/** Few policies forecast or leave out half of the guidance: the others' tables do without. */
function decisionsOf({ steps }: Plan): readonly Decision[] {
  const rare = (["forecast", "conditional"] as const).filter((each) =>
    steps.some((step) => step.modules.some(({ decision }) => decision === each)),
  );
  return ["refresh", "partial", "reuse", ...rare];
}

const modules: readonly (readonly [Module, string])[] = [
  ["self_attention", "self-attention"],
  ["cross_attention", "cross-attention"],
  ["mlp", "mlp"],
];

function modulesOf({ steps }: Plan): ReadonlySet<Module> {
  return new Set(steps[0]?.modules.map(({ module }) => module));
}

function columnsOf(plan: Plan): readonly Column<PlannedStep>[] {
  const present = modulesOf(plan);
  const runsAlways = plan.steps.every(({ trunk, runShare }) => trunk === "run" && runShare === 1);
  return [
    { title: "step", align: "right", text: ({ step }) => `${step}` },
    { title: "timestep", align: "right", text: ({ timestep }) => timestep.toFixed(1) },
    ...(runsAlways ? [] : [{ title: "trunk", text: trunkText }]),
    ...modules
      .filter(([module]) => present.has(module))
      .map(([module, title]) => moduleColumn(module, title, decisionsOf(plan))),
    { title: "from cache", align: "right", text: (step) => fromCache(step, plan.tokens) },
    { title: "FLOPs", align: "right", text: (step) => flops(step.flops) },
    { title: "resume", text: ({ refreshPoint }) => (refreshPoint ? "yes" : "") },
  ];
}

function trunkText({ trunk, runShare }: PlannedStep): string {
  return trunk === "run" && runShare < 1 ? `run, ${share(runShare, 1)}` : trunk;
}

function moduleColumn(
  module: Module,
  title: string,
  decisions: readonly Decision[],
): Column<PlannedStep> {
  return {
    title,
    align: "right",
    text: (step) => {
      const calls = step.modules.filter((call) => call.module === module);
      const counts = countsOf(calls.map(asShown));
      return decisions.map((decision) => counts[decision]).join(" / ");
    },
  };
}

/** A choice of no token is a reuse, whatever the policy calls it. */
function asShown(call: PlannedModule): PlannedModule {
  const choosesNone = call.decision === "partial" && call.tokens === 0;
  return choosesNone ? { ...call, decision: "reuse" } : call;
}

function fromCache({ modules: calls }: PlannedStep, tokens: number): string {
  return share(
    sum(calls, (call) => tokens - computedBy(call)),
    tokens * calls.length,
  );
}
