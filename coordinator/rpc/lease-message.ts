// What an agent is told of a lease: all that it needs to render, from the log and the prompts.

import { asFarmError } from "../../common/errors.js";
import { artifactPrefix, clipId } from "../../common/ids.js";
import type { Log } from "../../common/log.js";
import type { Lease as LeaseMessage } from "../../proto/gen/tocafarm/v1/worker.js";
import type { LeaseGranted } from "../core/events.js";
import type { Farm } from "../core/farm.js";
import type { Batch } from "../core/state.js";
import type { FarmPort, PromptStore } from "../ports.js";
import type { AgentMessage } from "./agent-connection.js";
import { seedOf, toRefMessage, toSpecMessage } from "./convert.js";

export interface LeaseContext {
  readonly farm: FarmPort;
  readonly prompts: PromptStore;
  readonly log: Log;
}

/**
 * To be called in the turn of the lease, so that the state is the one in which it was granted. A
 * lease whose prompt cannot be read fails here, as it would at the worker.
 */
export async function leaseMessage(
  lease: LeaseGranted,
  { farm, prompts, log }: LeaseContext,
): Promise<AgentMessage | undefined> {
  const { batch: id, clip, attempt, worker } = lease;
  try {
    const granted = await farm.query((now) => grantOf(now, lease));
    if (!granted) return undefined; // ended meanwhile, and forgotten
    const texts = await prompts.load(granted.batch.promptsKey);
    return { $case: "lease", value: toLeaseMessage(lease, granted, texts[clip] ?? "") };
  } catch (thrown) {
    const { code, message } = asFarmError(thrown);
    log.error({ batch: id, clip, code, reason: message }, "a lease could not be sent");
    const ref = { batch: id, clip, attempt };
    const failure = { code, message };
    const command = { type: "failed", worker, ref, failure, childDead: true } as const;
    void farm.command(command).catch(() => {}); // a leader that has stopped replays the lease
    return undefined;
  }
}

interface Grant {
  readonly batch: Batch;
}

function grantOf({ state }: Farm, { batch: id }: LeaseGranted): Grant | undefined {
  const batch = state.batches.get(id);
  return batch && { batch };
}

function toLeaseMessage(lease: LeaseGranted, { batch }: Grant, prompt: string): LeaseMessage {
  const { clip, attempt, device, segment, preview } = lease;
  const clipName = clipId(batch.id, clip);
  return {
    attempt: toRefMessage(lease),
    device,
    batchId: batch.id,
    clipId: clipName,
    clipIndex: clip,
    prompt,
    seed: seedOf(batch.spec, clip),
    spec: toSpecMessage(batch.spec),
    artifactPrefix: artifactPrefix(clipName, attempt),
    planDigest: batch.plan.digest,
    segment,
    preview,
    resume: undefined,
  };
}
