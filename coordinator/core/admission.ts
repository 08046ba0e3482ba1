// Whether a submission is taken: a repetition answers the batch it made before, and what does not
// fit the farm's bounds is refused now rather than dropped later. The form of the submission itself
// was checked before it came here.

import { submissionsKeptMs } from "./apply.js";
import { type Decision, nothing, type Refusal, type Submission } from "./commands.js";
import { clipsQueued, type State, tiers } from "./state.js";

/** Clips that wait in all batches together: about 1 GB of memory once all of them are rendered. */
export const clipsQueuedMax = 1_000_000;

/** Batches that have not ended. */
export const batchesUnfinishedMax = 10_000;

export function admit(state: State, submission: Submission, now: number): Decision {
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
  const { priority } = submission;
  if (!Number.isInteger(priority) || priority < 0 || priority >= tiers) {
    return refuse("INVALID_ARGUMENT", `priority is ${priority}; 0 (first) to ${tiers - 1} exist`);
  }
  const full = overload(state, submission.clips);
  if (full) return full;
  const event = { type: "BatchAccepted", at: now, ...submission } as const;
  return { ...nothing, events: [event], batch: submission.batch };
}

function overload(state: State, clips: number): Decision | null {
  let unfinished = 0;
  let queued = 0;
  for (const queue of state.queues) {
    unfinished += queue.size;
    for (const batch of queue.values()) queued += clipsQueued(batch);
  }
  if (unfinished >= batchesUnfinishedMax) {
    return refuse(
      "RESOURCE_EXHAUSTED",
      `${unfinished} batches wait or run, ${batchesUnfinishedMax} are allowed; try again later`,
    );
  }
  if (queued + clips > clipsQueuedMax) {
    return refuse(
      "RESOURCE_EXHAUSTED",
      `${queued} clips wait and ${clips} more would pass the bound of ${clipsQueuedMax}; ` +
        "submit fewer, or later",
    );
  }
  return null;
}

function refuse(code: Refusal["code"], message: string): Decision {
  return { ...nothing, refusal: { code, message } };
}
