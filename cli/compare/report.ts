// The findings of a comparison as data: report.json, and what the page is drawn from. Figures of a
// policy are means over its clips, but seconds are medians: one clip that met a busy machine, or
// was the first on a cold one, says nothing of its policy.
import path from "node:path";
import { FarmError } from "../../common/errors.js";
import { type ClipRecord, type ClipSeconds, profileEnding } from "./clip-record.js";
import { type ComparedClip, type Comparison, clipBase, type PlannedPolicy } from "./comparison.js";
import { type HitRates, readHitRates } from "./hit-rates.js";
import { scalesOf } from "./ms-ssim.js";
import type { Quality } from "./quality.js";

/** A clip of one policy. */
export interface ClipFindings {
  /** From the comparison's folder. */
  readonly file: string;
  readonly seconds: ClipSeconds;
  readonly flops: number;
  /** Null = it is the one under none. */
  readonly quality: Quality | null;
}

export interface PolicyFindings {
  readonly label: string;
  readonly policy: PlannedPolicy["policy"];
  /** Of a clip, as computed. */
  readonly flops: number;
  /** What none computes over what this policy does. */
  readonly flopsRatio: number;
  readonly seconds: ClipSeconds;
  /** Of denoising, against none. */
  readonly speedup: number;
  /** As planned, of a clip. */
  readonly cacheBytes: number;
  readonly peakBytes: number;
  /** Share of tokens from the cache; 0 where none passed. */
  readonly hitRate: number;
  readonly quality: Quality | null;
  readonly warnings: readonly string[];
  readonly hitRates: HitRates;
  readonly clips: readonly ClipFindings[];
}

export interface Report {
  readonly version: 1;
  readonly model: { readonly name: string; readonly weightsDigest: string };
  readonly kind: string;
  readonly settings: {
    readonly frames: number;
    readonly height: number;
    readonly width: number;
    readonly saveFps: number;
    readonly steps: number;
    readonly guidance: number;
  };
  /** How the qualities were measured. */
  readonly measures: { readonly msSsimScales: number; readonly vmaf: boolean };
  readonly clips: readonly { readonly prompt: string; readonly seed: string }[];
  readonly policies: readonly PolicyFindings[];
}

export interface Measured {
  readonly policy: PlannedPolicy;
  /** In the order of the comparison's clips. */
  readonly clips: readonly { readonly record: ClipRecord; readonly quality: Quality | null }[];
}

/**
 * Throws FAILED_PRECONDITION when clips were rendered by engines of different kinds or with other
 * weights: they could not be told from a policy's doing.
 */
export async function makeReport(
  comparison: Comparison,
  measured: readonly Measured[],
  vmaf: boolean,
): Promise<Report> {
  const records = measured.flatMap(({ clips }) => clips.map(({ record }) => record));
  const [first] = records;
  if (first === undefined) throw new FarmError("INTERNAL", "a comparison without clips");
  for (const record of records) checkAlike(comparison, first, record);
  const none = median(measured[0]?.clips.map(({ record }) => record.seconds.denoise) ?? []);
  const policies: PolicyFindings[] = [];
  for (const each of measured) policies.push(await findings(comparison, each, none));
  const { frames, saveFps, steps, guidance } = comparison.spec;
  const { height, width } = first;
  return {
    version: 1,
    model: { name: comparison.model.name, weightsDigest: first.weightsDigest },
    kind: first.kind,
    settings: { frames, height, width, saveFps, steps, guidance },
    measures: { msSsimScales: scalesOf(height, width), vmaf },
    clips: comparison.clips.map(({ prompt, seed }: ComparedClip) => ({ prompt, seed: `${seed}` })),
    policies,
  };
}

function checkAlike({ folder }: Comparison, first: ClipRecord, record: ClipRecord): void {
  const what =
    record.kind !== first.kind
      ? `engines of the kinds ${first.kind} and ${record.kind}`
      : record.weightsDigest !== first.weightsDigest
        ? "different weights"
        : undefined;
  if (what === undefined) return;
  throw new FarmError(
    "FAILED_PRECONDITION",
    `${folder} has clips of ${what}, which do not compare: choose another --out folder`,
  );
}

async function findings(
  comparison: Comparison,
  { policy, clips }: Measured,
  denoiseOfNone: number,
): Promise<PolicyFindings> {
  const records = clips.map(({ record }) => record);
  const base = (index: number) => clipBase(comparison, policy, index);
  const profiles = records.map((_, index) => `${base(index)}${profileEnding}`);
  const sum = (of: (record: ClipRecord) => number) =>
    records.reduce((total, record) => total + of(record), 0);
  const reused = sum(({ tokensReused }) => tokensReused);
  const seconds = {
    denoise: median(records.map((record) => record.seconds.denoise)),
    total: median(records.map((record) => record.seconds.total)),
  };
  const { plan } = policy;
  return {
    label: policy.label,
    policy: policy.policy,
    flops: sum(({ flops }) => flops) / records.length,
    flopsRatio: sum(({ flopsNone }) => flopsNone) / sum(({ flops }) => flops),
    seconds,
    speedup: denoiseOfNone / seconds.denoise,
    cacheBytes: plan.cacheBytes,
    peakBytes: plan.peakBytes,
    hitRate: reused / Math.max(1, reused + sum(({ tokensComputed }) => tokensComputed)),
    quality: meanQuality(clips.map(({ quality }) => quality)),
    warnings: plan.warnings,
    hitRates: await readHitRates(profiles, plan.steps.length),
    clips: clips.map(({ record, quality }, index) => ({
      file: path.join(policy.folder, path.basename(base(index)) + path.extname(record.media)),
      seconds: record.seconds,
      flops: record.flops,
      quality,
    })),
  };
}

/** Null when no clip has one, as under none. */
export function meanQuality(qualities: readonly (Quality | null)[]): Quality | null {
  const known = qualities.filter((quality) => quality !== null);
  if (known.length === 0) return null;
  const psnrDb = mean(known.map((quality) => quality.psnrDb)) ?? 0;
  const ssim = mean(known.map((quality) => quality.ssim)) ?? 0;
  const msSsim = mean(known.map((quality) => quality.msSsim));
  const vmaf = mean(known.map((quality) => quality.vmaf));
  return { psnrDb, ssim, msSsim, vmaf };
}

/** Null where a value is unknown. */
function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || known.length < values.length) return null;
  return known.reduce((total, value) => total + value, 0) / known.length;
}

/** The middle value, or the mean of the middle two; 0 of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low = 0, high = low] = sorted.slice(Math.ceil(middle) - 1, Math.floor(middle) + 1);
  return (low + high) / 2;
}

/** As report.json has it: names in snake case, like those of profile and manifest. */
export function reportJson(value: unknown): unknown {
  if (typeof value === "number") return Math.round(value * 1e6) / 1e6;
  if (Array.isArray(value)) return value.map(reportJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`),
      reportJson(each),
    ]),
  );
}
