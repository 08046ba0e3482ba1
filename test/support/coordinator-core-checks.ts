// What must hold of a farm after every command, worked out the slow way: from the log alone, from
// every clip and from every device, so that no index and no count is believed.

import assert from "node:assert/strict";
import type { FarmEvent } from "../../coordinator/core/events.js";
import type { Farm } from "../../coordinator/core/farm.js";
import type { DeviceMemory } from "../../coordinator/core/liveness.js";
import { tenantRules } from "../../coordinator/core/rules.js";
import {
  type Batch,
  type Clip,
  clipKey,
  clipsQueued,
  type State,
} from "../../coordinator/core/state.js";

/**
 * Told from the log alone: one live lease a clip, its parts published only by the holder, in order
 * and once, nothing after the end, no step twice that a checkpoint had kept on its kind of device.
 */
export class LogChecks {
  readonly #holders = new Map<string, Extract<FarmEvent, { type: "LeaseGranted" }>>();
  readonly #ended = new Set<string>();
  readonly #cancelled = new Set<string>();
  readonly #segments = new Map<string, number>();
  readonly #checkpoints = new Map<string, { readonly step: number; readonly kind: string }>();
  readonly #drained = new Set<string>();
  readonly #quarantined = new Set<string>();
  readonly #paused = new Set<string>();
  #seen = 0;

  /** Looks at the events that are new since the last call. */
  check(events: readonly FarmEvent[]): void {
    for (const event of events.slice(this.#seen)) this.#one(event);
    this.#seen = events.length;
  }

  #one(event: FarmEvent): void {
    switch (event.type) {
      case "BatchCancelled":
        this.#cancelled.add(event.batch);
        for (const key of this.#holders.keys()) {
          if (key.startsWith(`${event.batch}/`)) this.#holders.delete(key);
        }
        return;
      case "BatchPaused":
        this.#paused.add(event.batch);
        return;
      case "BatchResumed":
        this.#paused.delete(event.batch);
        return;
      case "WorkerDrained":
        this.#drained.add(event.worker);
        return;
      case "WorkerUndrained":
        this.#drained.delete(event.worker);
        return;
      case "DeviceQuarantined":
        this.#quarantined.add(`${event.worker}/${event.device}`);
        return;
      case "DeviceReleased":
        this.#quarantined.delete(`${event.worker}/${event.device}`);
        return;
      case "ClipsSkipped":
      case "ClipsRetried":
        this.#range(event);
        return;
      case "LeaseGranted":
        this.#grant(event);
        return;
      default:
        if ("clip" in event) this.#attempt(event);
    }
  }

  #range(event: Extract<FarmEvent, { type: "ClipsSkipped" | "ClipsRetried" }>): void {
    assert.ok(!this.#cancelled.has(event.batch), `${event.type} after a cancel`);
    for (const [first, last] of event.clips) {
      for (let clip = first; clip <= last; clip++) {
        const key = clipKey(event.batch, clip);
        if (event.type === "ClipsRetried") {
          assert.ok(this.#ended.delete(key), `${key} is retried and had not ended`);
        } else {
          assert.ok(!this.#ended.has(key), `${key} is skipped after its end`);
          this.#ended.add(key);
          this.#holders.delete(key);
          this.#checkpoints.delete(key);
        }
      }
    }
  }

  #grant(event: Extract<FarmEvent, { type: "LeaseGranted" }>): void {
    const key = clipKey(event.batch, event.clip);
    assert.ok(!this.#holders.has(key), `two live leases of ${key}`);
    assert.ok(!this.#ended.has(key), `a lease after the end of ${key}`);
    assert.ok(!this.#cancelled.has(event.batch), `a lease of ${key} after a cancel`);
    assert.ok(!this.#paused.has(event.batch), `a lease of ${key} while paused`);
    assert.ok(!this.#drained.has(event.worker), `a lease for the drained ${event.worker}`);
    const device = `${event.worker}/${event.device}`;
    assert.ok(!this.#quarantined.has(device), `a lease for the quarantined ${device}`);
    assert.equal(event.segment, this.#segments.get(key) ?? 0, `the segment of ${key}`);
    const kept = this.#checkpoints.get(key);
    assert.equal(event.resumeStep, kept?.kind === event.kind ? kept.step : 0, `resume of ${key}`);
    const onDevice = [...this.#holders.values()].filter(
      (other) => `${other.worker}/${other.device}` === device,
    );
    assert.ok(onDevice.length < 2, `three leases on ${device}`);
    this.#holders.set(key, event);
  }

  #attempt(event: Extract<FarmEvent, { readonly clip: number }>): void {
    const key = clipKey(event.batch, event.clip);
    assert.ok(!this.#ended.has(key), `${event.type} after the end of ${key}`);
    assert.ok(!this.#cancelled.has(event.batch), `${event.type} of ${key} after a cancel`);
    if (event.type === "ClipFailed") {
      assert.ok(!this.#holders.has(key), `${key} fails while it is held`);
      this.#ended.add(key);
      this.#checkpoints.delete(key);
      return;
    }
    const holder = this.#holders.get(key);
    assert.equal(holder?.attempt, event.attempt, `${event.type} of another attempt of ${key}`);
    if (event.type === "CheckpointStored") {
      const { step } = event.checkpoint;
      const kept = this.#checkpoints.get(key);
      const kind = holder?.kind ?? "";
      assert.ok(kept?.kind !== kind || step > kept.step, `a checkpoint of ${key} goes back`);
      this.#checkpoints.set(key, { step, kind });
    }
    if (event.type === "AttemptStarted" || event.type === "CheckpointStored") return;
    this.#holders.delete(key);
    if (event.type === "AttemptLost") return;
    if (event.type === "AttemptFailed") {
      if (event.failure.code === "INVALID_CHECKPOINT" && (holder?.resumeStep ?? 0) > 0) {
        this.#checkpoints.delete(key);
      }
      return;
    }
    this.#checkpoints.delete(key);
    if (event.type === "SegmentCompleted") {
      this.#segments.set(key, (this.#segments.get(key) ?? 0) + 1);
    }
    if (event.type === "ClipPublished") this.#ended.add(key);
  }
}

/** Every count and every index of the state is what its clips and leases say. */
export function checkCounts(state: State): void {
  const tenants = new Map<string, { batches: number; queued: number; leases: number }>();
  let leases = 0;
  for (const batch of state.batches.values()) {
    checkBatch(batch);
    assert.equal(state.unfinished.has(batch.id), batch.endedAt === null);
    assert.equal(state.ended.has(batch.id), batch.endedAt !== null);
    const tenant = tenants.get(batch.tenant) ?? { batches: 0, queued: 0, leases: 0 };
    tenant.batches += batch.endedAt === null ? 1 : 0;
    tenant.queued += clipsQueued(batch);
    tenant.leases += batch.leased.size;
    leases += batch.leased.size;
    tenants.set(batch.tenant, tenant);
    for (const index of batch.leased) {
      const lease = batch.clips.get(index)?.lease;
      assert.ok(lease && state.leases.get(clipKey(batch.id, index)) === lease);
      assert.ok(state.leasesByWorker.get(lease.worker)?.has(lease));
    }
  }
  assert.equal(state.leases.size, leases);
  for (const [name, { batches, queued, leases: live }] of tenants) {
    const tenant = state.tenants.get(name);
    assert.deepEqual(
      [tenant?.batchesUnfinished, tenant?.clipsQueued, tenant?.leases],
      [batches, queued, live],
    );
  }
  const held = [...state.unfinished.values()].reduce((sum, { clipsTotal }) => sum + clipsTotal, 0);
  assert.equal(state.clipsHeld, held);
}

function checkBatch(batch: Batch): void {
  const counts = { fresh: 0, published: 0, failed: 0, skipped: 0, awaiting: 0 };
  let [previews, segments] = [0, 0];
  for (let index = 0; index < batch.clipsTotal; index++) {
    const clip = batch.clips.get(index);
    const ended = clip !== undefined && (clip.publication !== null || clip.end !== null);
    if (!ended) {
      previews += (clip ? clip.previewing : batch.preview !== null) ? 1 : 0;
      segments += batch.segments - (clip?.segment ?? 0);
    }
    if (!clip) {
      counts.fresh += 1;
      assert.ok(index >= batch.nextFresh);
      continue;
    }
    const places = [
      batch.waiting.has(index),
      clip.lease !== null,
      clip.awaitingApproval,
      clip.publication !== null,
      clip.end !== null,
    ];
    const expected = batch.cancelled && !ended ? 0 : 1;
    assert.equal(places.filter(Boolean).length, expected, `clip ${index} is in one place`);
    assert.equal(batch.leased.has(index), clip.lease !== null);
    if (batch.promoted.has(index)) assert.ok(batch.waiting.has(index));
    counts.published += clip.publication ? 1 : 0;
    counts.failed += clip.end === "failed" ? 1 : 0;
    counts.skipped += clip.end === "skipped" || clip.end === "rejected" ? 1 : 0;
    counts.awaiting += clip.awaitingApproval ? 1 : 0;
  }
  if (!batch.cancelled) assert.equal(batch.clipsFresh, counts.fresh);
  assert.deepEqual(
    [batch.clipsPublished, batch.clipsFailed, batch.clipsSkipped, batch.clipsAwaitingApproval],
    [counts.published, counts.failed, counts.skipped, counts.awaiting],
  );
  assert.deepEqual([batch.previewsLeft, batch.segmentsLeft], [previews, segments]);
}

/** After `place`: no device idles while something that is ready could run on it. */
export function checkNobodyIdles(farm: Farm, now: number): void {
  for (const worker of farm.live.workers.values()) {
    if (!worker.connected || worker.draining || worker.drained) continue;
    for (const device of worker.devices.values()) {
      const { wants, slots, quarantined, info } = device;
      if (!wants || slots.size > 0 || quarantined || info.condition !== "ready") continue;
      for (const batch of farm.state.unfinished.values()) {
        const clip = runnable(farm, batch, device, now);
        const name = `${worker.id}/${info.name}`;
        assert.equal(clip, undefined, `${name} idles while ${batch.id}/${clip} is ready`);
      }
    }
  }
}

function runnable(
  { state, live, rules }: Farm,
  batch: Batch,
  device: DeviceMemory,
  now: number,
): number | undefined {
  const leases = state.tenants.get(batch.tenant)?.leases ?? 0;
  if (batch.paused || leases >= tenantRules(rules, batch.tenant).devicesMax) return undefined;
  if (!matches(batch, device) || isBarred(device) || isTooSmall()) return undefined;
  if (batch.clipsFresh > 0) return batch.nextFresh;
  return [...batch.waiting].find((index) => {
    const clip = batch.clips.get(index);
    return clip && clip.retryAt <= now && mayRun(clip, device) && isBest(clip);
  });

  function isBarred({ worker }: DeviceMemory): boolean {
    return (batch.failuresByWorker.get(worker.id) ?? 0) >= rules.retry.workerFailuresMax;
  }

  function isTooSmall(): boolean {
    const isEnough = ({ info }: DeviceMemory) => info.memoryBytes >= batch.plan.peakBytes;
    return !isEnough(device) && runners().some(isEnough);
  }

  function isBest(clip: Clip): boolean {
    if (!clip.failedOn.includes(device.worker.id)) return true;
    return !runners().some(
      (other) =>
        !other.quarantined && mayRun(clip, other) && !clip.failedOn.includes(other.worker.id),
    );
  }

  /** Devices that may get something of the batch, now or later. */
  function runners(): readonly DeviceMemory[] {
    const devices = [...live.workers.values()].flatMap((worker) => [...worker.devices.values()]);
    return devices.filter(
      (other) =>
        other.worker.connected &&
        !(other.worker.draining || other.worker.drained || other.hopeless) &&
        other.info.condition !== "failed" &&
        matches(batch, other) &&
        !isBarred(other),
    );
  }
}

function mayRun({ memoryBytesAbove }: Clip, { info }: DeviceMemory): boolean {
  return memoryBytesAbove === 0 || info.memoryBytes > memoryBytesAbove;
}

function matches({ spec, weightsDigest }: Batch, { worker, info }: DeviceMemory): boolean {
  return (
    worker.models.get(spec.model)?.weightsDigest === weightsDigest &&
    (spec.dtype === "" || spec.dtype === info.dtype) &&
    (spec.device === "" || spec.device === info.name.split(":")[0])
  );
}
