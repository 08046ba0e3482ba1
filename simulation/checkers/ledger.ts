// The log folded a second time, in the plainest way that can be right and sharing nothing with the
// core: what each clip is owed, who holds it, what was published. An event that the core should not
// have written is found here, at once.

import { unreachable } from "../../common/assert.js";
import type {
  AttemptFailed,
  AttemptRef,
  BatchAccepted,
  CheckpointStored,
  FarmEvent,
  LeaseGranted,
} from "../../coordinator/core/events.js";
import {
  type AttemptEvent,
  clearTroubles,
  clipsIn,
  deviceName,
  isEnded,
  type LeaseEnd,
  type LedgerBatch,
  type LedgerListener,
  type LiveLease,
  newLedgerBatch,
  newOpenClip,
  type OpenClip,
  stand,
} from "./records.js";
import { promised, Violation } from "./violation.js";

/** Failures that are the fault of what was submitted, or of the artifact store: of no worker. */
const blamelessCodes = [
  "IO",
  "INVALID_ARGUMENT",
  "UNSUPPORTED",
  "FAILED_PRECONDITION",
  "NOT_FOUND",
  "ALREADY_EXISTS",
];

export class Ledger {
  readonly batches = new Map<string, LedgerBatch>();
  /** Those that are not over, in the order of their submission. */
  readonly unfinished = new Map<string, LedgerBatch>();
  /** Live leases of each device, in the order in which they were granted. */
  readonly devices = new Map<string, LiveLease[]>();
  readonly leasesByTenant = new Map<string, number>();
  readonly quarantined = new Set<string>();
  readonly drained = new Set<string>();
  readonly listeners: LedgerListener[] = [];
  readonly #keys = new Map<string, string>();
  #at = 0;
  #term = 0;
  #events = 0;
  #leases = 0;

  get at(): number {
    return this.#at;
  }

  get events(): number {
    return this.#events;
  }

  get leases(): number {
    return this.#leases;
  }

  fold(event: FarmEvent, sequence: number): void {
    promised(event.at >= this.#at, "time never goes back", () => `${event.at} after ${this.#at}`);
    this.#at = event.at;
    this.#events += 1;
    this.#apply(event);
    for (const listener of this.listeners) listener.onEvent?.(event, sequence);
  }

  /** The lease of this attempt, if it holds the clip. */
  holder({ batch, clip, attempt }: AttemptRef): LiveLease | null {
    const lease = this.batches.get(batch)?.open.get(clip)?.lease ?? null;
    return lease?.event.attempt === attempt ? lease : null;
  }

  /** An agent begins to work on an attempt. */
  begin(ref: AttemptRef): void {
    const lease = this.holder(ref);
    if (lease !== null) lease.begun = true;
  }

  #apply(event: FarmEvent): void {
    switch (event.type) {
      case "LeaderStarted":
        promised(event.term > this.#term, "terms rise", () => `${event.term} after ${this.#term}`);
        this.#term = event.term;
        return;
      case "BatchAccepted":
        this.#accept(event);
        return;
      case "WorkerDrained":
        this.drained.add(event.worker);
        return;
      case "WorkerUndrained":
        this.drained.delete(event.worker);
        return;
      case "DeviceQuarantined":
        this.quarantined.add(deviceName(event));
        return;
      case "DeviceReleased":
        this.quarantined.delete(deviceName(event));
        return;
      case "BatchCancelled":
      case "BatchPaused":
      case "BatchResumed":
      case "PrioritySet":
      case "BatchMoved":
        this.#applyToBatch(event, this.#batch(event.batch, event.type));
        return;
      case "ClipsRetried":
      case "ClipsSkipped":
      case "ClipsPromoted":
      case "ClipsApproved":
        this.#applyToClips(event, this.#batch(event.batch, event.type));
        return;
      case "LeaseGranted":
        this.#grant(event);
        return;
      case "ClipFailed":
        this.#failClip(this.#batch(event.batch, event.type), event.clip);
        return;
      default:
        this.#applyToAttempt(event);
    }
  }

  #accept(event: BatchAccepted): void {
    const { batch, idempotencyKey } = event;
    const known = this.batches.has(batch);
    promised(!known, "a batch is accepted once", () => `${batch} is accepted again`);
    const earlier = this.#keys.get(idempotencyKey);
    promised(earlier === undefined, "a submission makes one batch", () => {
      return `key ${idempotencyKey} made ${earlier} and makes ${batch}`;
    });
    if (idempotencyKey !== "") this.#keys.set(idempotencyKey, batch);
    const ledgerBatch = newLedgerBatch(event);
    this.batches.set(batch, ledgerBatch);
    this.unfinished.set(batch, ledgerBatch);
  }

  #applyToBatch(
    event: Extract<
      FarmEvent,
      { type: "BatchCancelled" | "BatchPaused" | "BatchResumed" | "PrioritySet" | "BatchMoved" }
    >,
    batch: LedgerBatch,
  ): void {
    const { type } = event;
    promised(!batch.over, "nothing befalls a batch that is over", () => `${type} ${event.batch}`);
    if (type === "BatchPaused") batch.paused = true;
    else if (type === "BatchResumed") batch.paused = false;
    else if (type === "PrioritySet") batch.priority = event.priority;
    else if (type === "BatchCancelled") {
      batch.cancelled = true;
      for (const clip of batch.open.values()) {
        if (clip.lease) this.#release(clip, "withdrawn");
      }
      this.#close(batch);
    }
  }

  #applyToClips(
    event: Extract<
      FarmEvent,
      { type: "ClipsRetried" | "ClipsSkipped" | "ClipsPromoted" | "ClipsApproved" }
    >,
    batch: LedgerBatch,
  ): void {
    for (const index of clipsIn(event.clips)) {
      const known = index < batch.stands.length;
      promised(known, "verbs name clips that there are", () => `${event.batch}/${index}`);
      switch (event.type) {
        case "ClipsRetried":
          this.#retry(batch, index);
          break;
        case "ClipsSkipped":
          this.#skip(batch, index, event.reason === "rejected");
          break;
        case "ClipsApproved":
          this.#approve(batch, index);
          break;
        default:
      }
    }
    if (event.type !== "ClipsRetried") return;
    batch.failuresByWorker.clear();
    batch.over = false;
    this.unfinished.set(event.batch, batch);
  }

  #retry(batch: LedgerBatch, index: number): void {
    const name = () => `${batch.accepted.batch}/${index} is tried again`;
    promised(batch.stands[index] !== stand.published, "a published clip is done", name);
    promised(isEnded(batch, index), "only an ended clip is tried again", name);
    promised(!batch.cancelled, "a cancelled batch stays cancelled", name);
    batch.ended -= 1;
    const parked = batch.parked.get(index);
    batch.parked.delete(index);
    const clip = this.#record(batch, index, parked);
    clearTroubles(clip);
    const awaitsVerdict = clip.previewed && !clip.approved;
    if (!awaitsVerdict) batch.waiting.add(index);
  }

  #skip(batch: LedgerBatch, index: number, rejected: boolean): void {
    const name = () => `${batch.accepted.batch}/${index} is skipped`;
    promised(!isEnded(batch, index), "an ended clip stays as it ended", name);
    const clip = batch.open.get(index);
    if (clip?.lease) this.#release(clip, "withdrawn");
    if (clip !== undefined && rejected) {
      promised(clip.previewed && !clip.approved, "a verdict is on a preview", name);
      clip.previewed = false;
    }
    this.#end(batch, index, stand.skipped);
  }

  #approve(batch: LedgerBatch, index: number): void {
    const clip = batch.open.get(index);
    const waits = clip?.previewed === true && !clip.approved;
    promised(waits, "a verdict is on a preview", () => `${batch.accepted.batch}/${index}`);
    if (clip === undefined) return;
    clip.approved = true;
    batch.waiting.add(index);
  }

  #grant(event: LeaseGranted): void {
    const batch = this.#batch(event.batch, event.type);
    const name = `${event.batch}/${event.clip}/${event.attempt}`;
    const { clip: index } = event;
    promised(index < batch.stands.length, "leases are of clips that there are", () => name);
    promised(!batch.over, "nothing befalls a batch that is over", () => `lease ${name}`);
    promised(!isEnded(batch, index), "an ended clip is not leased", () => name);
    const before = batch.open.get(index);
    promised(!before?.lease, "one live lease a clip", () => {
      return `${name} beside attempt ${before?.lease?.event.attempt}`;
    });
    const follows = event.attempt === (batch.attempts[index] ?? 0) + 1;
    promised(
      follows,
      "attempt numbers rise by one",
      () => `${name} after ${batch.attempts[index]}`,
    );
    for (const listener of this.listeners) listener.onGrant?.(event, batch, before);
    const clip = before ?? this.#record(batch, index);
    batch.attempts[index] = event.attempt;
    batch.waiting.delete(index);
    const onDevice = this.devices.get(deviceName(event)) ?? [];
    const since = onDevice.length === 0 ? event.at : null;
    clip.lease = { event, batch, started: false, begun: false, since };
    this.devices.set(deviceName(event), [...onDevice, clip.lease]);
    this.#countTenant(batch, 1);
  }

  #applyToAttempt(event: AttemptEvent): void {
    const batch = this.#batch(event.batch, event.type);
    const clip = batch.open.get(event.clip);
    const held = clip?.lease?.event.attempt;
    promised(held === event.attempt, "only the holder changes a clip", () => {
      return `${event.type} of ${event.batch}/${event.clip}/${event.attempt}, ${held} holds it`;
    });
    const lease = clip?.lease;
    if (clip === undefined || !lease) return;
    switch (event.type) {
      case "AttemptStarted":
        promised(!lease.started, "an attempt starts once", () => `${event.batch}/${event.clip}`);
        lease.started = true;
        return;
      case "CheckpointStored":
        this.#storeCheckpoint(event, clip, lease);
        return;
      case "AttemptLost":
        this.#release(clip, "lost");
        clip.retryAt = event.retryAt;
        return;
      case "AttemptFailed":
        this.#fail(event, clip, lease);
        return;
      case "PreviewPublished":
      case "SegmentCompleted":
      case "ClipPublished":
        this.#complete(event.type, clip, lease);
        return;
      default:
        unreachable(event);
    }
  }

  #fail(event: AttemptFailed, clip: OpenClip, { batch, event: granted }: LiveLease): void {
    this.#release(clip, "failed");
    clip.retryAt = event.retryAt;
    if (event.failure.code === "INVALID_CHECKPOINT" && granted.resumeStep > 0) {
      clip.checkpoint = null; // the checkpoint is to blame
      return;
    }
    const { worker } = granted;
    clip.failures += 1;
    clip.memoryBytesAbove = Math.max(clip.memoryBytesAbove, event.memoryBytesAbove);
    clip.failedOn.add(worker);
    if (blamelessCodes.includes(event.failure.code)) return;
    batch.failuresByWorker.set(worker, (batch.failuresByWorker.get(worker) ?? 0) + 1);
  }

  #storeCheckpoint(event: CheckpointStored, clip: OpenClip, lease: LiveLease): void {
    const { step, artifact } = event.checkpoint;
    const { accepted } = lease.batch;
    const { kind, preview, resumeStep } = lease.event;
    const plan = preview && accepted.preview ? accepted.preview.plan : accepted.plan;
    const name = () => `step ${step} of ${event.batch}/${event.clip}/${event.attempt}`;
    const mayBe = plan.refreshPoints.includes(step);
    promised(mayBe, "checkpoints are made at refresh points", name);
    promised(step > resumeStep, "checkpoints lie ahead of where the attempt began", name);
    const before = clip.checkpoint?.kind === kind ? clip.checkpoint.step : 0;
    promised(step > before, "checkpoints go forward", () => `${name()}, ${before} was stored`);
    clip.checkpoint = { step, kind, artifact };
  }

  #complete(
    type: "PreviewPublished" | "SegmentCompleted" | "ClipPublished",
    clip: OpenClip,
    { event, batch }: LiveLease,
  ): void {
    const { segments } = batch.accepted;
    const isLast = event.segment === segments - 1;
    const right = event.preview
      ? "PreviewPublished"
      : isLast
        ? "ClipPublished"
        : "SegmentCompleted";
    promised(type === right, "what was leased is what is done", () => {
      return `${type} of ${event.batch}/${event.clip}, which worked on ${right}`;
    });
    this.#release(clip, "done");
    clip.checkpoint = null;
    clearTroubles(clip);
    if (type === "PreviewPublished") {
      clip.previewed = true;
      batch.waiting.delete(clip.index);
    } else {
      clip.segmentsDone += 1;
    }
    if (type !== "ClipPublished") return;
    batch.published += 1;
    this.#end(batch, clip.index, stand.published);
  }

  #failClip(batch: LedgerBatch, index: number): void {
    const name = () => `${batch.accepted.batch}/${index} fails`;
    promised(!isEnded(batch, index), "an ended clip stays as it ended", name);
    promised(!batch.open.get(index)?.lease, "a held clip does not fail", name);
    this.#end(batch, index, stand.failed);
  }

  // ---- bookkeeping

  #record(batch: LedgerBatch, index: number, parked?: OpenClip): OpenClip {
    if (batch.stands[index] === stand.fresh) batch.fresh -= 1;
    const clip = parked ?? newOpenClip(index);
    batch.stands[index] = stand.open;
    batch.open.set(index, clip);
    return clip;
  }

  #release(clip: OpenClip, end: LeaseEnd): void {
    const { lease } = clip;
    if (lease === null) return;
    const { event, batch } = lease;
    clip.lease = null;
    batch.waiting.add(clip.index);
    const name = deviceName(event);
    const rest = (this.devices.get(name) ?? []).filter((other) => other !== lease);
    const next = rest[0];
    if (next && next.since === null) next.since = this.#at;
    if (rest.length > 0) this.devices.set(name, rest);
    else this.devices.delete(name);
    this.#countTenant(batch, -1);
    const seconds = lease.since === null ? 0 : (this.#at - lease.since) / 1000;
    for (const listener of this.listeners) listener.onRelease?.(lease, seconds, end, this.#at);
  }

  #countTenant({ accepted: { tenant } }: LedgerBatch, by: 1 | -1): void {
    this.#leases += by;
    this.leasesByTenant.set(tenant, (this.leasesByTenant.get(tenant) ?? 0) + by);
  }

  #end(batch: LedgerBatch, index: number, how: 2 | 3 | 4): void {
    if (batch.stands[index] === stand.fresh) batch.fresh -= 1;
    batch.stands[index] = how;
    const clip = batch.open.get(index);
    if (clip !== undefined && how !== stand.published) {
      clip.checkpoint = null;
      batch.parked.set(index, clip);
    }
    batch.open.delete(index);
    batch.waiting.delete(index);
    batch.ended += 1;
    if (batch.ended === batch.stands.length) this.#close(batch);
  }

  #close(batch: LedgerBatch): void {
    batch.over = true;
    batch.failuresByWorker.clear();
    this.unfinished.delete(batch.accepted.batch);
  }

  #batch(id: string, type: string): LedgerBatch {
    const batch = this.batches.get(id);
    if (batch === undefined) throw new Violation("batches are accepted first", `${type} of ${id}`);
    return batch;
  }
}
