// Renders what a comparison still lacks: a batch for each policy, on one farm and one after the
// other, so that no policy's seconds are another one's.
import { randomUUID } from "node:crypto";
import path from "node:path";
import { prepareFolder } from "../clip-files.js";
import { FarmClient } from "../farm-client.js";
import { followBatch } from "../follow-batch.js";
import { type OwnFarmOptions, withOwnFarm } from "../own-farm.js";
import { failureOf } from "../report.js";
import { bytes } from "../table.js";
import { bringClip, readRecord } from "./clip-record.js";
import { type Comparison, claimFolder, type PlannedPolicy, policyMessage } from "./comparison.js";

export interface RenderPoliciesOptions {
  readonly farm: OwnFarmOptions;
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

/** Clips `first` to before `end` of one policy: one batch, since seeds count up from the first. */
interface Gap {
  readonly policy: PlannedPolicy;
  readonly first: number;
  readonly end: number;
}

/** Resolves when every clip has its record; throws what a batch failed with, the rest is kept. */
export async function renderPolicies(
  comparison: Comparison,
  { farm, quiet, signal }: RenderPoliciesOptions,
): Promise<void> {
  const gaps: Gap[] = [];
  for (const policy of comparison.policies) gaps.push(...(await gapsOf(comparison, policy)));
  if (gaps.length === 0) return;
  const own = { model: comparison.model.path, options: farm, quiet, signal };
  await withOwnFarm(own, async ({ grpc }) => {
    const client = new FarmClient(grpc);
    try {
      await claimFolder(comparison);
      if (!quiet) tellWarnings(gaps);
      for (const gap of gaps) await renderGap(client, comparison, { ...gap, quiet, signal });
    } finally {
      client.close();
    }
  });
}

async function gapsOf(comparison: Comparison, policy: PlannedPolicy): Promise<readonly Gap[]> {
  const gaps: Gap[] = [];
  for (const index of comparison.clips.keys()) {
    if ((await readRecord(comparison, policy, index)) !== undefined) continue;
    const last = gaps.at(-1);
    if (last?.end === index) gaps[gaps.length - 1] = { ...last, end: index + 1 };
    else gaps.push({ policy, first: index, end: index + 1 });
  }
  return gaps;
}

async function renderGap(
  client: FarmClient,
  comparison: Comparison,
  work: Gap & { readonly quiet: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const { policy, first, end, quiet, signal } = work;
  const { spec, clips } = comparison;
  if (!quiet) announce(comparison, work);
  await prepareFolder(path.join(comparison.folder, policy.folder));
  const batch = await client.submit(
    {
      idempotencyKey: randomUUID(),
      name: policy.label,
      spec: {
        ...spec,
        seed: BigInt.asUintN(64, spec.seed + BigInt(first)),
        policy: policyMessage(policy),
      },
      prompts: clips.slice(first, end).map(({ prompt }) => prompt),
      tenant: "",
      priority: 2,
      preview: undefined,
      deadline: undefined,
    },
    signal,
  );
  const { tracker } = await followBatch({
    client,
    batch,
    bring: (clip) => bringClip(client, clip, { comparison, policy, index: first + clip.index }),
    quiet,
    cancelOnAbort: true,
    signal,
  });
  const failure = failureOf(tracker);
  if (failure) throw failure;
}

function announce({ clips }: Comparison, { policy, first, end }: Gap): void {
  const { label, plan } = policy;
  process.stderr.write(
    `${label}: ${end - first} of ${clips.length} clips, ` +
      `${(plan.flopsNone / plan.flops).toFixed(2)}x fewer FLOPs than none, ` +
      `cache ${bytes(plan.cacheBytes)}\n`,
  );
}

/** Each once, however many policies have it. */
function tellWarnings(gaps: readonly Gap[]): void {
  const warnings = new Set(gaps.flatMap(({ policy }) => policy.plan.warnings));
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
}
