// Measures every clip of a comparison against the one under none. What was measured is kept beside
// the clip, so that a further policy does not cost the measuring of all others again.
import { readFile } from "node:fs/promises";
import { FarmError } from "../../common/errors.js";
import { type ClipRecord, readRecord } from "./clip-record.js";
import {
  type Comparison,
  clipBase,
  losslessFile,
  type PlannedPolicy,
  writeWhole,
} from "./comparison.js";
import { hasVmaf, measureQuality, type Quality } from "./quality.js";
import type { Measured } from "./report.js";

export interface MeasureOptions {
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

export interface AllMeasured {
  /** In the order of the policies; none is the first. */
  readonly policies: readonly Measured[];
  readonly vmaf: boolean;
}

/** All clips must have their records. Throws ENCODER_FAILED, and the signal's reason on abort. */
export async function measureAll(
  comparison: Comparison,
  { quiet, signal }: MeasureOptions,
): Promise<AllMeasured> {
  const vmaf = await hasVmaf(signal);
  const [none, ...others] = comparison.policies;
  if (none === undefined) throw new FarmError("INTERNAL", "a comparison without policies");
  const references = await recordsOf(comparison, none);
  const policies: Measured[] = [
    { policy: none, clips: references.map((record) => ({ record, quality: null })) },
  ];
  for (const policy of others) {
    if (!quiet) process.stderr.write(`measuring ${policy.label}\n`);
    const clips: Measured["clips"][number][] = [];
    for (const [index, record] of (await recordsOf(comparison, policy)).entries()) {
      const against = references[index]?.sha256 ?? "";
      const pair = { comparison, policy, none, index, record, against };
      clips.push({ record, quality: await kept(pair, vmaf, signal) });
    }
    policies.push({ policy, clips });
  }
  return { policies, vmaf };
}

async function recordsOf(
  comparison: Comparison,
  policy: PlannedPolicy,
): Promise<readonly ClipRecord[]> {
  const records: ClipRecord[] = [];
  for (const index of comparison.clips.keys()) {
    const record = await readRecord(comparison, policy, index);
    if (record === undefined) {
      const name = `clip ${index} of ${policy.label}`;
      throw new FarmError("IO", `${name} is gone from ${comparison.folder}: run it again`);
    }
    records.push(record);
  }
  return records;
}

/** A clip and the one under none. */
interface Pair {
  readonly comparison: Comparison;
  readonly policy: PlannedPolicy;
  readonly none: PlannedPolicy;
  readonly index: number;
  readonly record: ClipRecord;
  /** Digest of the one under none. */
  readonly against: string;
}

/** A quality with what it is of. */
interface KeptQuality {
  readonly sha256: string;
  readonly against: string;
  readonly vmaf: boolean;
  readonly quality: Quality;
}

async function kept(pair: Pair, vmaf: boolean, signal: AbortSignal): Promise<Quality> {
  const { comparison, policy, none, index, record, against } = pair;
  const file = `${clipBase(comparison, policy, index)}.quality.json`;
  const found = await readKept(file);
  const { sha256, height, width } = record;
  const isSame = found?.sha256 === sha256 && found.against === against && found.vmaf === vmaf;
  if (found !== undefined && isSame) return found.quality;
  const quality = await measureQuality({
    file: losslessFile(comparison, policy, index),
    reference: losslessFile(comparison, none, index),
    ...{ height, width, vmaf, signal },
  });
  const keeping: KeptQuality = { sha256, against, vmaf, quality };
  await writeWhole(file, `${JSON.stringify(keeping)}\n`);
  return quality;
}

async function readKept(file: string): Promise<KeptQuality | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")); // nobody but `kept` writes it
  } catch {
    return undefined; // not yet measured, or damaged: it is measured again
  }
}
