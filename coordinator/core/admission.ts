// Whether a submission is taken: a repetition answers the batch it made before, and what does not
// fit the bounds of the farm or of its tenant is refused now rather than dropped later. The form of
// the submission itself was checked before it came here.

import { submissionsKeptMs } from "./apply.js";
import { type Decision, nothing, type Refusal, type Submission } from "./commands.js";
import type { Known } from "./liveness.js";
import { tenantRules } from "./rules.js";
import { tiers } from "./state.js";

/** Clips that wait in all batches together. */
export const clipsQueuedMax = 1_000_000;

/**
 * Clips of unfinished batches, whatever has become of them: their records are about 0.5 GB, and
 * with those of ended batches the text of a snapshot stays below what one string can hold.
 */
export const clipsHeldMax = 1_250_000;

/** Batches that have not ended. */
export const batchesUnfinishedMax = 10_000;

export function admit({ state, rules }: Known, submission: Submission, now: number): Decision {
  const earlier = state.submissions.get(submission.idempotencyKey);
  if (earlier && earlier.at > now - submissionsKeptMs) {
    if (earlier.bodySha256 !== submission.bodySha256) {
      return refuse(
        "ALREADY_EXISTS",
        `idempotency key "${submission.idempotencyKey}" was used for another submission, ` +
          `batch ${earlier.batch}; take a new key`,
      );
    }
    return { ...nothing, batch: earlier.batch };
  }
  const { priority, clips, tenant } = submission;
  if (!Number.isInteger(priority) || priority < 0 || priority >= tiers) {
    return refuse("INVALID_ARGUMENT", `priority is ${priority}; 0 (first) to ${tiers - 1} exist`);
  }
  const more = { batches: 1, held: clips, queued: clips };
  const full = overload({ state, rules }, tenant, more);
  if (full) return full;
  const event = { type: "BatchAccepted", at: now, ...submission } as const;
  return { ...nothing, events: [event], batch: submission.batch };
}

/** What would come on top of what there is. */
export interface More {
  readonly batches: number;
  /** Clips of the batches that would be unfinished. */
  readonly held: number;
  readonly queued: number;
}

/** Refuses what would pass a bound of the farm or of the tenant; null when it fits. */
export function overload(
  { state, rules }: Pick<Known, "state" | "rules">,
  tenant: string,
  more: More,
): Decision | null {
  const own = state.tenants.get(tenant);
  const bounds = tenantRules(rules, tenant);
  const rows: readonly (readonly [string, number, number, number])[] = [
    ["unfinished batches", state.unfinished.size, more.batches, batchesUnfinishedMax],
    ["clips of unfinished batches", state.clipsHeld, more.held, clipsHeldMax],
    ["waiting clips", state.clipsQueued, more.queued, clipsQueuedMax],
    [
      `unfinished batches of tenant ${tenant}`,
      own?.batchesUnfinished ?? 0,
      more.batches,
      bounds.batchesMax,
    ],
    [
      `waiting clips of tenant ${tenant}`,
      own?.clipsQueued ?? 0,
      more.queued,
      bounds.clipsQueuedMax,
    ],
  ];
  for (const [what, now, added, max] of rows) {
    if (now + added <= max) continue;
    return refuse(
      "RESOURCE_EXHAUSTED",
      `there are ${now} ${what}, and ${added} more would pass the bound of ${max}; ` +
        "submit fewer, or later",
    );
  }
  return null;
}

export function refuse(code: Refusal["code"], message: string): Decision {
  return { ...nothing, refusal: { code, message } };
}
