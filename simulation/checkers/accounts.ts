// The core's own books against the ledger: every clip of a batch is counted once and in the right
// place, and a tenant is charged the seconds for which its attempts had their devices.

import type { Batch, State } from "../../coordinator/core/state.js";
import type { Ledger } from "./ledger.js";
import { type LedgerBatch, type LedgerListener, type LiveLease, stand } from "./records.js";
import { promised } from "./violation.js";

/** Of sums of thousands of charges. */
const secondsTolerance = 1e-3;

export class Accounts implements LedgerListener {
  readonly #ledger: Ledger;
  /** Device-seconds that a tenant has used, the estimates of live leases among them. */
  readonly #used = new Map<string, number>();

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  onGrant(event: { readonly deviceSeconds: number }, batch: LedgerBatch): void {
    this.#add(batch, event.deviceSeconds);
  }

  onRelease({ event, batch }: LiveLease, seconds: number): void {
    this.#add(batch, seconds - event.deviceSeconds);
  }

  /** Holds the books of a leader all of whose events are in the log against the ledger. */
  check(state: State): void {
    const ledger = this.#ledger;
    const leases = state.leases.size;
    promised(leases === ledger.leases, "the books agree", () => {
      return `${leases} leases, ${ledger.leases} by the log`;
    });
    for (const [id, batch] of ledger.unfinished) {
      const kept = state.batches.get(id);
      promised(kept !== undefined, "no batch is forgotten", () => id);
      if (kept !== undefined) checkBatch(kept, batch);
    }
    promised(state.unfinished.size === ledger.unfinished.size, "the books agree", () => {
      return `${state.unfinished.size} unfinished batches, ${ledger.unfinished.size} by the log`;
    });
    for (const [name, used] of this.#used) {
      const tenant = state.tenants.get(name);
      const off = Math.abs((tenant?.deviceSecondsUsed ?? 0) - used);
      promised(off <= secondsTolerance, "tenants are charged what they had", () => {
        return `${name} for ${tenant?.deviceSecondsUsed} device-seconds, had ${used}`;
      });
    }
  }

  #add({ accepted: { tenant } }: LedgerBatch, seconds: number): void {
    this.#used.set(tenant, (this.#used.get(tenant) ?? 0) + seconds);
  }
}

function checkBatch(kept: Batch, batch: LedgerBatch): void {
  const ends: Record<number, number> = {};
  for (const how of batch.stands) ends[how] = (ends[how] ?? 0) + 1;
  let leased = 0;
  let verdicts = 0;
  for (const clip of batch.open.values()) {
    if (clip.lease) leased += 1;
    if (clip.lease === null && clip.previewed && !clip.approved) verdicts += 1;
  }
  const open = ends[stand.open] ?? 0;
  const expected = {
    published: ends[stand.published] ?? 0,
    failed: ends[stand.failed] ?? 0,
    skipped: ends[stand.skipped] ?? 0,
    awaitingApproval: verdicts,
    leased,
    queued: (ends[stand.fresh] ?? 0) + open - leased - verdicts,
  };
  const counted = {
    published: kept.clipsPublished,
    failed: kept.clipsFailed,
    skipped: kept.clipsSkipped,
    awaitingApproval: kept.clipsAwaitingApproval,
    leased: kept.leased.size,
    queued: kept.clipsFresh + kept.waiting.size,
  };
  const agree = JSON.stringify(expected) === JSON.stringify(counted);
  promised(agree, "the books agree", () => {
    const { batch: id } = batch.accepted;
    return `${id}: ${JSON.stringify(counted)}, by the log ${JSON.stringify(expected)}`;
  });
}
