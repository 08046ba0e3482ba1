// What must be true of a report at the moment at which it is decided: one of an attempt that does
// not hold its clip changes nothing and is counted; what is published is the report's own files,
// with the bits that every device of the kind makes.

import type { Command, Decision, Effect } from "../../coordinator/core/commands.js";
import type { Artifact, AttemptRef, FarmEvent } from "../../coordinator/core/events.js";
import type { Farm } from "../../coordinator/core/farm.js";
import type { State } from "../../coordinator/core/state.js";
import { expectedSha256 } from "../store.js";
import type { Ledger } from "./ledger.js";
import { type LedgerListener, type LiveLease, stand } from "./records.js";
import { promised } from "./violation.js";

type Publication = Extract<
  FarmEvent,
  { readonly type: "PreviewPublished" | "SegmentCompleted" | "ClipPublished" }
>;

export class ReportsChecker implements LedgerListener {
  readonly #ledger: Ledger;
  readonly #holders = new Map<string, LiveLease>();
  #superseded = 0;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Reports that came too late or twice. */
  get superseded(): number {
    return this.#superseded;
  }

  /** A command was decided, in front of the log. */
  onDecided(command: Command, { events, effects }: Decision, { state }: Farm): void {
    if (command.type === "checkpoint") checkStored(command, state);
    if (command.type !== "completed") return;
    const { ref } = command;
    const done = events.filter((event) => "attempt" in event);
    const own = done.every((event) => isSame(event, ref));
    promised(own, "a report is about its own attempt", () => `${nameOf(ref)} changed another`);
    if (done.length > 0) return;
    const counted = effects.some(
      (effect) => effect.type === "superseded" && isSame(effect.ref, ref),
    );
    promised(counted, "a late report is counted", () => nameOf(ref));
    this.#superseded += 1;
  }

  /** Effects of a turn that is in the log. */
  onEffects(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.type !== "superseded" || !effect.discard) continue;
      const { ref } = effect;
      const wanted = this.#isPublished(ref) || this.#ledger.holder(ref) !== null;
      promised(!wanted, "files in use are not discarded", () => nameOf(ref));
    }
  }

  onRelease(lease: LiveLease): void {
    this.#holders.set(nameOf(lease.event), lease);
  }

  onEvent(event: FarmEvent): void {
    if (isPublication(event)) this.#checkFiles(event);
    this.#holders.clear();
  }

  #checkFiles(event: Publication): void {
    const lease = this.#holders.get(nameOf(event));
    if (lease === undefined) return;
    const { kind, preview, segment } = lease.event;
    const { batch, clip, attempt, artifacts } = event;
    const expected = expectedSha256({ batch, clip, preview, segment }, kind);
    const media: Artifact | undefined = artifacts[0];
    promised(media?.sha256 === expected, "the same bits whatever happened", () => nameOf(event));
    const own = media?.key.split("/")[1] === `${attempt}`;
    promised(own, "only the holder's files are published", () => `${media?.key} ${nameOf(event)}`);
    if (event.type !== "ClipPublished") return;
    promised(this.#isPublished(event), "a clip is published once", () => nameOf(event));
  }

  /** No attempt follows the one that was published. */
  #isPublished({ batch: id, clip, attempt }: AttemptRef): boolean {
    const batch = this.#ledger.batches.get(id);
    return batch?.stands[clip] === stand.published && batch.attempts[clip] === attempt;
  }
}

/** Whatever attempt holds the clip: none of its checkpoints is passed over. */
function checkStored(
  { ref, worker, checkpoint: { step } }: Extract<Command, { readonly type: "checkpoint" }>,
  state: State,
): void {
  const clip = state.batches.get(ref.batch)?.clips.get(ref.clip);
  const lease = clip?.lease;
  if (!lease || lease.attempt !== ref.attempt || lease.worker !== worker) return;
  const stored = clip.checkpoint?.kind === lease.kind ? clip.checkpoint.step : 0;
  promised(stored >= step, "a checkpoint is stored", () => {
    return `step ${step} of ${nameOf(ref)} on ${lease.kind}, step ${stored} is`;
  });
}

function isPublication(event: FarmEvent): event is Publication {
  const { type } = event;
  return type === "PreviewPublished" || type === "SegmentCompleted" || type === "ClipPublished";
}

function isSame(a: AttemptRef, b: AttemptRef): boolean {
  return a.batch === b.batch && a.clip === b.clip && a.attempt === b.attempt;
}

function nameOf({ batch, clip, attempt }: AttemptRef): string {
  return `${batch}/${clip}/${attempt}`;
}
