// The artifact store, as far as bits go: a video's are a function of what it shows and of the kind
// of the device, and an attempt that goes on from a checkpoint of another render, kind or step
// gives other ones. So a wrong resume is seen in what is published.

import { createHash } from "node:crypto";
import { checkpointKey, clipId } from "../common/ids.js";
import type { Artifact, AttemptRef } from "../coordinator/core/events.js";

/** One pass through the sampler: the preview of a clip, or one of its segments. */
export interface Pass {
  readonly batch: string;
  readonly clip: number;
  readonly preview: boolean;
  readonly segment: number;
}

export interface StoredCheckpoint {
  readonly pass: string;
  readonly kind: string;
  readonly step: number;
  readonly damaged: boolean;
}

export function passName({ batch, clip, preview, segment }: Pass): string {
  return `${clipId(batch, clip)}.${preview ? "preview" : segment}`;
}

/** SHA-256 of the pass's file, rendered from beginning to end on a device of the kind. */
export function expectedSha256(pass: Pass, kind: string): string {
  return sha256Of(`${passName(pass)} on ${kind}`);
}

/** SHA-256 of the file of a pass that went on from `from`. */
export function resumedSha256(pass: Pass, kind: string, from: StoredCheckpoint, step: number) {
  const seamless = from.pass === passName(pass) && from.kind === kind && from.step === step;
  if (seamless) return expectedSha256(pass, kind);
  return sha256Of(`${passName(pass)} on ${kind}, from ${from.pass} on ${from.kind} at ${step}`);
}

/** SHA-256 of the canary's file on a device of the kind. */
export function canarySha256(kind: string): string {
  return sha256Of(`canary on ${kind}`);
}

export function sha256Of(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

const checkpointBytes = 4 * 2 ** 20;

export class SimulatedStore {
  readonly #checkpoints = new Map<string, StoredCheckpoint>();
  readonly #keysByPass = new Map<string, readonly string[]>();

  putCheckpoint(ref: AttemptRef, checkpoint: StoredCheckpoint): Artifact {
    const key = checkpointKey(clipId(ref.batch, ref.clip), ref.attempt, checkpoint.step);
    this.#checkpoints.set(key, checkpoint);
    this.#keysByPass.set(checkpoint.pass, [...(this.#keysByPass.get(checkpoint.pass) ?? []), key]);
    const sha256 = sha256Of(`${checkpoint.pass} on ${checkpoint.kind} at ${checkpoint.step}`);
    return { key, sha256, sizeBytes: checkpointBytes };
  }

  checkpoint(key: string): StoredCheckpoint | undefined {
    return this.#checkpoints.get(key);
  }

  /** Of this pass nobody goes on from anywhere any more, but from the checkpoint that is kept. */
  forgetAllBut(kept: string | null, pass: string): void {
    for (const key of this.#keysByPass.get(pass) ?? []) {
      if (key !== kept) this.#checkpoints.delete(key);
    }
    if (kept === null) this.#keysByPass.delete(pass);
    else this.#keysByPass.set(pass, [kept]);
  }
}
