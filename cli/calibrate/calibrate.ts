// From prompts and a budget to the nearest schedule that was found, as a policy file.
import type { Engine, RenderRequest } from "../../engine/engine.js";
import type { ModelFolder } from "../../engine/model-folder.js";
import type { Dtype } from "../../engine/plan.js";
import { makePlan, type PlanRequest, type Policy } from "../../engine/plan.js";
import type { Budget } from "./budget.js";
import { type Candidate, moduleCandidates, trunkCandidates } from "./candidates.js";
import type { RecordedRender, Recording } from "./recording.js";

export interface TriedCandidate extends Candidate {
  /** Of none's. */
  readonly flopsShare: number;
  /** Mean over the calibration clips, in decibels, against `none`. */
  readonly psnrDb: number;
}

export interface CalibrationOptions {
  readonly engine: Engine;
  readonly model: ModelFolder;
  readonly dtype: Dtype;
  /** Under policy none. */
  readonly clips: readonly RenderRequest[];
  readonly recording: Recording;
  readonly budget: Budget;
  /** A schedule for each module, not for the trunk. */
  readonly modules: boolean;
  readonly onStep: (done: number, total: number) => void;
}

/** All candidates as they come out on the calibration clips; the evenly spaced one is the first. */
export async function tryCandidates(
  options: CalibrationOptions,
): Promise<readonly TriedCandidate[]> {
  const { model, dtype, clips, recording, budget } = options;
  const none = makePlan(model.configs, planned(options, { name: "none", options: {} }), dtype);
  const [step] = none.steps;
  const candidates =
    options.modules && step !== undefined
      ? moduleCandidates(recording.clips, budget, step)
      : trunkCandidates(recording.clips, budget);
  const psnrs = await psnrOfEach(options, candidates);
  return candidates.map((candidate, index) => {
    const { flops } = makePlan(model.configs, planned(options, candidate.policy), dtype);
    const sum = psnrs.reduce((total, clip) => total + (clip[index] ?? 0), 0);
    return { ...candidate, flopsShare: flops / none.flops, psnrDb: sum / clips.length };
  });
}

function planned({ clips: [clip] }: CalibrationOptions, policy: Policy): PlanRequest {
  if (clip === undefined) throw new Error("a calibration has clips");
  return { ...clip, policy };
}

/** For every clip one figure a candidate. */
async function psnrOfEach(
  { engine, clips, onStep }: CalibrationOptions,
  candidates: readonly Candidate[],
): Promise<readonly (readonly number[])[]> {
  const policies = candidates.map(({ policy }) => policy);
  const all: (readonly number[])[] = [];
  for (const [index, clip] of clips.entries()) {
    const found = await engine.compare(clip, policies, (done, total) =>
      onStep(index * total + done, clips.length * total),
    );
    all.push(found.map(({ rootMeanSquare }) => psnr(rootMeanSquare)));
  }
  return all;
}

// Equal frames have no finite figure; one value of a long clip that differs by one has 130.
const psnrMaxDb = 150;

function psnr(rootMeanSquare: number): number {
  return Math.min(psnrMaxDb, 20 * Math.log10(255 / rootMeanSquare));
}

/** The nearest of them. */
export function bestOf(tried: readonly TriedCandidate[]): TriedCandidate | undefined {
  return [...tried].sort((a, b) => b.psnrDb - a.psnrDb)[0];
}

/** What `--policy FILE` reads, and what it was found for (docs/policies.md). */
export function policyFile(
  best: TriedCandidate,
  render: RecordedRender,
  tried: readonly TriedCandidate[],
): string {
  const file = {
    name: best.policy.name,
    options: best.policy.options,
    calibration: {
      ...render,
      flops_share: best.flopsShare,
      tried: tried.map(({ name, policy, flopsShare, psnrDb }) => ({
        name,
        options: policy.options,
        flops_share: flopsShare,
        psnr_db: psnrDb,
      })),
    },
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}
