// What an operator may set. Every rule has a default that suits a farm of any size.

import { defaultRetryPolicy, type RetryPolicy } from "./retry-policy.js";

/** What one tenant may have. */
export interface TenantRules {
  /** Its part of a tier, beside the weights of the others that have something ready there. */
  readonly weight: number;
  /** Leases at a time. */
  readonly devicesMax: number;
  /** Clips that wait, refused at submit beyond. */
  readonly clipsQueuedMax: number;
  /** Batches that have not ended, refused at submit beyond. */
  readonly batchesMax: number;
}

export interface QuarantineRules {
  /** Failures in a row after which a device is quarantined. */
  readonly failuresMax: number;
  /** Wait before the first canary; it doubles with each that fails, up to the bound. */
  readonly backoffMs: number;
  readonly backoffMsMax: number;
  /** A canary that is not answered for this long has failed. */
  readonly canaryMs: number;
  /** Canaries that may fail; then the device waits for an operator, or a new leader. */
  readonly canariesMax: number;
}

export interface StuckRules {
  /** An attempt fails when a step takes this many times as long as it should. */
  readonly factor: number;
  /** But never sooner: weights may have to be read, and a first step may compile or warm up. */
  readonly floorMs: number;
  /** And no later than this while its kind of device has not finished anything. */
  readonly unlearntMs: number;
}

export interface PreemptionRules {
  readonly enabled: boolean;
  /** Work of a better tier waits this long for a device to come free before anything is cut. */
  readonly waitMs: number;
}

export interface Rules {
  /** A lease that is not renewed for this long is lost. */
  readonly leaseMs: number;
  readonly retry: RetryPolicy;
  /** By name of the tenant. */
  readonly tenants: Readonly<Record<string, TenantRules>>;
  /** Of all others. */
  readonly tenantDefault: TenantRules;
  /**
   * A batch that had no device at all for this long rises a tier, and again after as long; a lease
   * takes it back to its own. 0 = never.
   */
  readonly tierRaiseMs: number;
  readonly quarantine: QuarantineRules;
  readonly stuck: StuckRules;
  readonly preemption: PreemptionRules;
}

export const defaultRules: Rules = {
  leaseMs: 10_000,
  retry: defaultRetryPolicy,
  tenants: {},
  tenantDefault: {
    weight: 1,
    devicesMax: 10_000,
    clipsQueuedMax: 1_000_000,
    batchesMax: 10_000,
  },
  tierRaiseMs: 900_000,
  quarantine: {
    failuresMax: 3,
    backoffMs: 30_000,
    backoffMsMax: 600_000,
    canaryMs: 300_000,
    canariesMax: 5,
  },
  stuck: { factor: 5, floorMs: 300_000, unlearntMs: 3_600_000 },
  preemption: { enabled: true, waitMs: 2_000 },
};

export function tenantRules(rules: Rules, tenant: string): TenantRules {
  const own = Object.hasOwn(rules.tenants, tenant) ? rules.tenants[tenant] : undefined;
  return own ?? rules.tenantDefault;
}
