// Fairness within a tier: while two tenants both have something ready for a kind of device, what
// they are served there, in device-seconds over their weights, drifts apart by a bounded amount
// only. The bound is that of start-time fair queueing, one longest lease of each, and what
// estimates of leases that run at the same time may be wrong by.

import type { FarmEvent } from "../../coordinator/core/events.js";
import { type Rules, tenantRules } from "../../coordinator/core/rules.js";
import type { Ledger } from "./ledger.js";
import { isOverLimit } from "./readiness.js";
import type { LedgerBatch, LedgerListener, LiveLease } from "./records.js";
import { promised } from "./violation.js";

type LeaseGranted = Extract<FarmEvent, { readonly type: "LeaseGranted" }>;

interface Window {
  /** Extremes of the difference between the two while both were backlogged. */
  low: number;
  high: number;
}

export interface FairnessOptions {
  readonly ledger: Ledger;
  readonly rules: Rules;
  /** Every device of the world is of one kind and can render everything. */
  readonly devices: number;
}

export class Fairness implements LedgerListener {
  readonly #options: FairnessOptions;
  /** By tier and tenant: device-seconds over weight. */
  readonly #served = new Map<string, number>();
  readonly #windows = new Map<string, Window>();
  #longest = 0;
  #wrong = 0;
  #widest = 0;

  constructor(options: FairnessOptions) {
    this.#options = options;
  }

  /** The farthest that two backlogged tenants came apart, as a share of what is allowed. */
  get widest(): number {
    return this.#widest;
  }

  onGrant(event: LeaseGranted, batch: LedgerBatch): void {
    const { tier, deviceSeconds, weight, at } = event;
    const { tenant } = batch.accepted;
    const backlogged = this.#backlogged(tier, at);
    this.#longest = Math.max(this.#longest, deviceSeconds / weight);
    this.#serve(tier, tenant, deviceSeconds / weight);
    for (const one of backlogged) {
      for (const other of backlogged) if (one < other) this.#compare(tier, one, other);
    }
    for (const key of this.#windows.keys()) {
      const [of, one = "", other = ""] = key.split("\n");
      if (of !== `${tier}`) continue;
      if (!backlogged.has(one) || !backlogged.has(other)) this.#windows.delete(key);
    }
  }

  onRelease({ event, batch }: LiveLease, seconds: number): void {
    const { tier, deviceSeconds, weight } = event;
    const wrong = (seconds - deviceSeconds) / weight;
    this.#wrong = Math.max(this.#wrong, Math.abs(wrong));
    this.#serve(tier, batch.accepted.tenant, wrong);
  }

  #serve(tier: number, tenant: string, seconds: number): void {
    const key = `${tier}\n${tenant}`;
    this.#served.set(key, (this.#served.get(key) ?? 0) + seconds);
  }

  /** Tenants that could have had the device. */
  #backlogged(tier: number, at: number): ReadonlySet<string> {
    const { ledger, rules } = this.#options;
    const tenants = new Set<string>();
    for (const batch of ledger.unfinished.values()) {
      if (batch.priority !== tier || batch.paused || isOverLimit(ledger, batch, rules)) continue;
      if (tenantRules(rules, batch.accepted.tenant).weight <= 0) continue;
      const waits = [...batch.waiting].some((index) => (batch.open.get(index)?.retryAt ?? 0) <= at);
      if (batch.fresh > 0 || waits) tenants.add(batch.accepted.tenant);
    }
    return tenants;
  }

  #compare(tier: number, one: string, other: string): void {
    const difference = this.#servedTo(tier, one) - this.#servedTo(tier, other);
    const key = `${tier}\n${one}\n${other}`;
    const window = this.#windows.get(key) ?? { low: difference, high: difference };
    window.low = Math.min(window.low, difference);
    window.high = Math.max(window.high, difference);
    this.#windows.set(key, window);
    const allowed = 2 * this.#longest + 2 * this.#options.devices * this.#wrong;
    const apart = window.high - window.low;
    this.#widest = Math.max(this.#widest, apart / allowed);
    promised(apart <= allowed, "tenants of a tier are served by their weights", () => {
      return `${one} and ${other} came ${apart} s apart in tier ${tier}, ${allowed} s is allowed`;
    });
  }

  #servedTo(tier: number, tenant: string): number {
    return this.#served.get(`${tier}\n${tenant}`) ?? 0;
  }
}
