// What an agent is told of a lease: all that it needs to render, from the log and the prompts.

import { assert } from "../../common/assert.js";
import { asFarmError } from "../../common/errors.js";
import { artifactPrefix, clipId } from "../../common/ids.js";
import type { Log } from "../../common/log.js";
import type { Lease as LeaseMessage, ResumePoint } from "../../proto/gen/tocafarm/v1/worker.js";
import type { Checkpoint, LeaseGranted } from "../core/events.js";
import type { Farm } from "../core/farm.js";
import type { Batch } from "../core/state.js";
import { planOf } from "../core/work.js";
import type { FarmPort, PromptStore } from "../ports.js";
import type { AgentMessage } from "./agent-connection.js";
import {
  fromFailureMessage,
  seedOf,
  toArtifactMessage,
  toPolicyMessage,
  toRefMessage,
  toSpecMessage,
  toTotalsMessage,
} from "./convert.js";

export interface LeaseContext {
  readonly farm: FarmPort;
  readonly prompts: PromptStore;
  readonly log: Log;
}

/**
 * To be called in the turn of the lease, so that the state is the one in which it was granted. A
 * lease whose prompt is gone fails here, as it would at the worker; while the store does not answer
 * it is taken back.
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
    // A store that does not answer is nobody's fault: the clip waits, and no device is blamed.
    const failure = fromFailureMessage({ code: code === "IO" ? "UNAVAILABLE" : code, message });
    const command = { type: "failed", worker, ref, failure, childDead: true } as const;
    void farm.command(command).catch(() => {}); // a leader that has stopped replays the lease
    return undefined;
  }
}

interface Grant {
  readonly batch: Batch;
  /** Where the attempt begins; null = at the beginning. */
  readonly checkpoint: Checkpoint | null;
}

function grantOf(
  { state }: Farm,
  { batch: id, clip, resumeStep }: LeaseGranted,
): Grant | undefined {
  const batch = state.batches.get(id);
  if (!batch) return undefined;
  if (resumeStep === 0) return { batch, checkpoint: null };
  const checkpoint = batch.clips.get(clip)?.checkpoint;
  assert(checkpoint?.step === resumeStep, `no checkpoint of step ${resumeStep} is known`);
  return { batch, checkpoint };
}

function toLeaseMessage(lease: LeaseGranted, grant: Grant, prompt: string): LeaseMessage {
  const { clip, attempt, device, segment, preview } = lease;
  const { batch, checkpoint } = grant;
  const clipName = clipId(batch.id, clip);
  const { steps, policy } = preview && batch.preview ? batch.preview : batch.spec;
  return {
    attempt: toRefMessage(lease),
    device,
    batchId: batch.id,
    clipId: clipName,
    clipIndex: clip,
    prompt,
    seed: seedOf(batch.spec, clip),
    spec: { ...toSpecMessage(batch.spec), steps, policy: toPolicyMessage(policy) },
    artifactPrefix: artifactPrefix(clipName, attempt),
    planDigest: planOf(batch, preview).digest,
    segment,
    preview,
    resume: checkpoint ? toResumeMessage(checkpoint) : undefined,
  };
}

function toResumeMessage({ step, artifact, totals }: Checkpoint): ResumePoint {
  return { step, artifact: toArtifactMessage(artifact), totals: toTotalsMessage(totals) };
}
