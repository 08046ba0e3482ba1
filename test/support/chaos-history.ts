// The log of a farm, folded by rules of the tests' own: what no strike may ever make the farm
// write. It shares no code with the core, so that a mistake there is not made here too.
import assert from "node:assert/strict";
import { createLog } from "../../common/log.js";
import type { AttemptRef, FarmEvent, LeaseGranted } from "../../coordinator/core/events.js";
import { connectNats } from "../../coordinator/nats/connection.js";
import { openEventLog } from "../../coordinator/nats/event-log.js";

/** One ahead, never two. */
const leasesOfDeviceMax = 2;

export interface ClipHistory {
  /** Newest attempt. */
  attempt: number;
  live: LeaseGranted | null;
  started: boolean;
  /** Of the newest stored checkpoint. */
  checkpointStep: number;
  checkpointKind: string;
  end: "published" | "failed" | "cancelled" | null;
  /** Keys of the published files. */
  keys: readonly string[];
  failures: number;
  losses: number;
  /** How often an attempt began behind step 0. */
  resumes: number;
}

export interface History {
  readonly term: number;
  /** By batch id, the clips by index. */
  readonly batches: ReadonlyMap<string, readonly ClipHistory[]>;
}

/** Every event of the pool, over a connection of its own. */
export async function readEvents(natsUrl: string): Promise<readonly FarmEvent[]> {
  const connection = await connectNats(natsUrl, createLog("test", "silent"));
  const events: FarmEvent[] = [];
  try {
    const eventLog = await openEventLog(connection, "default");
    await eventLog.replay(0, (turn) => {
      events.push(...turn);
    });
  } finally {
    await connection.close();
  }
  return events;
}

/** Folds the events, asserting of each that it may follow those before it. */
export function checkHistory(events: readonly FarmEvent[]): History {
  const fold = new Fold();
  for (const event of events) fold.apply(event);
  return fold;
}

class Fold implements History {
  readonly batches = new Map<string, ClipHistory[]>();
  term = 0;
  #at = 0;
  readonly #keys = new Set<string>();
  readonly #leasesOf = new Map<string, number>();

  apply(event: FarmEvent): void {
    assert.ok(event.at >= this.#at, `time goes back at ${JSON.stringify(event)}`);
    this.#at = event.at;
    switch (event.type) {
      case "LeaderStarted":
        assert.ok(event.term > this.term, `term ${event.term} follows ${this.term}`);
        this.term = event.term;
        break;
      case "BatchAccepted":
        this.#accept(event);
        break;
      case "LeaseGranted":
        this.#grant(event);
        break;
      case "AttemptStarted": {
        const { clip } = this.#held(event);
        assert.ok(!clip.started, `attempt ${nameOf(event)} starts twice`);
        clip.started = true;
        break;
      }
      case "CheckpointStored":
        this.#store(event);
        break;
      case "AttemptLost":
        this.#release(event).losses += 1;
        break;
      case "AttemptFailed": {
        const clip = this.#release(event);
        clip.failures += 1;
        if (event.failure.code === "INVALID_CHECKPOINT") clip.checkpointStep = 0;
        break;
      }
      case "ClipPublished": {
        const clip = this.#release(event);
        clip.end = "published";
        clip.keys = event.artifacts.map(({ key }) => key);
        break;
      }
      case "ClipFailed":
        this.#end(this.#clip(event), "failed");
        break;
      case "BatchCancelled":
        for (const clip of this.#batch(event.batch)) {
          if (clip.end !== null) continue;
          if (clip.live) this.#count(clip.live, -1);
          clip.live = null;
          this.#end(clip, "cancelled");
        }
        break;
      case "DeviceQuarantined":
      case "DeviceReleased":
        break;
      default:
        assert.fail(`nobody asked for ${JSON.stringify(event)}`);
    }
  }

  #accept({ batch, clips, idempotencyKey }: Extract<FarmEvent, { type: "BatchAccepted" }>): void {
    assert.ok(!this.batches.has(batch), `batch ${batch} is accepted twice`);
    assert.ok(!this.#keys.has(idempotencyKey), `key ${idempotencyKey} makes two batches`);
    if (idempotencyKey !== "") this.#keys.add(idempotencyKey);
    this.batches.set(batch, Array.from({ length: clips }, newClip));
  }

  #grant(event: LeaseGranted): void {
    const clip = this.#clip(event);
    const name = nameOf(event);
    assert.equal(clip.end, null, `${name} is leased after the clip's end`);
    assert.equal(clip.live, null, `${name} is leased beside another attempt`);
    assert.equal(event.attempt, clip.attempt + 1, `${name} is not the next attempt`);
    const canResume = clip.checkpointStep > 0 && event.kind === clip.checkpointKind;
    const from = canResume ? clip.checkpointStep : 0;
    assert.equal(event.resumeStep, from, `${name} does not begin at the newest checkpoint`);
    clip.attempt = event.attempt;
    clip.live = event;
    clip.started = false;
    if (event.resumeStep > 0) clip.resumes += 1;
    this.#count(event, +1);
  }

  #store(event: Extract<FarmEvent, { type: "CheckpointStored" }>): void {
    const { clip, lease } = this.#held(event);
    const { step } = event.checkpoint;
    const least = Math.max(lease.resumeStep, clip.checkpointStep);
    assert.ok(step > least, `${nameOf(event)} stores step ${step} behind ${least}`);
    clip.checkpointStep = step;
    clip.checkpointKind = lease.kind;
  }

  /** The attempt must be the one that holds the clip. */
  #held(ref: AttemptRef): { readonly clip: ClipHistory; readonly lease: LeaseGranted } {
    const clip = this.#clip(ref);
    assert.ok(clip.live?.attempt === ref.attempt, `${nameOf(ref)} does not hold its clip`);
    return { clip, lease: clip.live };
  }

  #release(ref: AttemptRef): ClipHistory {
    const { clip, lease } = this.#held(ref);
    this.#count(lease, -1);
    clip.live = null;
    return clip;
  }

  #end(clip: ClipHistory, end: ClipHistory["end"]): void {
    assert.equal(clip.end, null, "a clip ends twice");
    assert.equal(clip.live, null, "a clip ends while it is leased");
    clip.end = end;
  }

  #count({ worker, device }: LeaseGranted, change: number): void {
    const key = `${worker}/${device}`;
    const leases = (this.#leasesOf.get(key) ?? 0) + change;
    assert.ok(leases <= leasesOfDeviceMax, `device ${key} has ${leases} leases`);
    this.#leasesOf.set(key, leases);
  }

  #clip({ batch, clip }: { readonly batch: string; readonly clip: number }): ClipHistory {
    const found = this.#batch(batch)[clip];
    assert.ok(found, `batch ${batch} has no clip ${clip}`);
    return found;
  }

  #batch(id: string): readonly ClipHistory[] {
    const found = this.batches.get(id);
    assert.ok(found, `batch ${id} was never accepted`);
    return found;
  }
}

function newClip(): ClipHistory {
  return {
    attempt: 0,
    live: null,
    started: false,
    checkpointStep: 0,
    checkpointKind: "",
    end: null,
    keys: [],
    failures: 0,
    losses: 0,
    resumes: 0,
  };
}

function nameOf({ batch, clip, attempt }: AttemptRef): string {
  return `${batch}.${clip}/${attempt}`;
}
