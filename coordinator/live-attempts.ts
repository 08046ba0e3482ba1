// What becomes of the attempts of a reign, as its turns tell it: how each ended, how many steps a
// checkpoint saved and how many were for nothing. The state forgets an attempt when it ends, so
// whoever wants to count ends has to remember what there was.

import type { ClipRanges, FarmEvent, LostReason } from "./core/events.js";
import { clipKey, type State } from "./core/state.js";
import { resumeStepOf } from "./core/work.js";
import type { Turn } from "./ports.js";

interface LiveAttempt {
  readonly batch: string;
  readonly clip: number;
  readonly attempt: number;
  /** Steps done, as last heard. */
  step: number;
  /** Steps that another attempt would not have to do again. */
  kept: number;
}

export type AttemptEnd =
  | { readonly outcome: "published"; readonly reason: "none" | "preview" | "segment" }
  | { readonly outcome: "cancelled"; readonly reason: "none" | "skipped" | "rejected" }
  | { readonly outcome: "lost"; readonly reason: LostReason }
  | { readonly outcome: "failed"; readonly reason: string };

/** Hears of every end once, with the steps that were for nothing. */
export type OnEnd = (end: AttemptEnd, stepsLost: number) => void;

export class LiveAttempts {
  /** By clipKey. */
  readonly #live = new Map<string, LiveAttempt>();
  readonly #onEnd: OnEnd;

  /** Begins with the attempts of the reign before. */
  constructor(state: State, onEnd: OnEnd) {
    this.#onEnd = onEnd;
    for (const [key, { batch, clip, attempt, kind, resumeStep }] of state.leases) {
      const record = state.batches.get(batch)?.clips.get(clip);
      const kept = Math.max(resumeStep, resumeStepOf(record, kind));
      this.#live.set(key, { batch, clip, attempt, step: kept, kept });
    }
  }

  take({ commands, events }: Turn): void {
    for (const command of commands) {
      if (command.type !== "progress") continue;
      for (const { batch, clip, attempt, step } of command.attempts) {
        const live = this.#live.get(clipKey(batch, clip));
        if (live?.attempt === attempt) live.step = Math.max(live.step, step);
      }
    }
    for (const event of events) this.#takeEvent(event);
  }

  #takeEvent(event: FarmEvent): void {
    switch (event.type) {
      case "LeaseGranted": {
        const { batch, clip, attempt, resumeStep: kept } = event;
        this.#live.set(clipKey(batch, clip), { batch, clip, attempt, step: kept, kept });
        return;
      }
      case "CheckpointStored": {
        const live = this.#live.get(clipKey(event.batch, event.clip));
        if (!live) return;
        live.kept = event.checkpoint.step;
        live.step = Math.max(live.step, live.kept);
        return;
      }
      case "ClipPublished":
        this.#end(event, { outcome: "published", reason: "none" });
        return;
      case "PreviewPublished":
        this.#end(event, { outcome: "published", reason: "preview" });
        return;
      case "SegmentCompleted":
        this.#end(event, { outcome: "published", reason: "segment" });
        return;
      case "AttemptLost":
        this.#end(event, { outcome: "lost", reason: event.reason });
        return;
      case "AttemptFailed":
        this.#end(event, { outcome: "failed", reason: event.failure.code });
        return;
      case "BatchCancelled":
        this.#endAll(event.batch, null, { outcome: "cancelled", reason: "none" });
        return;
      case "ClipsSkipped":
        this.#endAll(event.batch, event.clips, {
          outcome: "cancelled",
          reason: event.reason,
        });
        return;
      default:
    }
  }

  #end({ batch, clip }: { batch: string; clip: number }, end: AttemptEnd): void {
    const key = clipKey(batch, clip);
    const live = this.#live.get(key);
    this.#live.delete(key);
    const again = end.outcome === "lost" || end.outcome === "failed";
    this.#onEnd(end, live && again ? live.step - live.kept : 0);
  }

  #endAll(batch: string, clips: ClipRanges | null, end: AttemptEnd): void {
    for (const live of this.#live.values()) {
      const isMeant =
        live.batch === batch &&
        (clips?.some(([first, last]) => first <= live.clip && live.clip <= last) ?? true);
      if (isMeant) this.#end(live, end);
    }
  }
}
