// Weighted fair queueing between tenants, in device-seconds: start-time fair queueing, one queue
// for each tier and kind of device (docs/decisions/0012-fair-share.md). A tenant is served from
// `servedUntil` on, but never from before the virtual time, which is where the newest lease began:
// so nobody saves up credit while idle. It is charged an estimate when a lease is granted, and that
// is put right when the attempt has ended.

import { type Lease, type State, type Tenant, tiers } from "./state.js";

/** Tenants that have nothing in the pool are forgotten, the oldest first, beyond this many. */
const tenantsMax = 10_000;

/** Kinds of device whose virtual time is remembered; the oldest are forgotten. */
const kindsMax = 1_000;

/** The tenant's record, made when it is first seen. */
export function tenantOf(state: State, name: string): Tenant {
  const known = state.tenants.get(name);
  if (known) return known;
  const tenant: Tenant = {
    batchesUnfinished: 0,
    clipsQueued: 0,
    leases: 0,
    deviceSecondsUsed: 0,
    servedUntil: new Map(),
  };
  state.tenants.set(name, tenant);
  if (state.tenants.size > tenantsMax) forgetOldest(state, name);
  return tenant;
}

/** Up to where the tenant was served; the smaller, the sooner it is its turn. */
export function servedUntil(
  state: State,
  tenant: string,
  { kind, tier }: { readonly kind: string; readonly tier: number },
): number {
  return state.tenants.get(tenant)?.servedUntil.get(kind)?.[tier] ?? 0;
}

/** Charges the estimate of a lease that was just granted. */
export function charge(state: State, tenantName: string, lease: Lease): void {
  const { kind, chargedTier: tier, deviceSeconds, weight } = lease;
  const tenant = tenantOf(state, tenantName);
  const times = byTier(state.virtualTimes, kind);
  const served = byTier(tenant.servedUntil, kind);
  const start = Math.max(served[tier] ?? 0, times[tier] ?? 0);
  times[tier] = start;
  served[tier] = start + deviceSeconds / weight;
  tenant.leases += 1;
  tenant.deviceSecondsUsed += deviceSeconds;
}

/** Puts the charge of a lease that has ended right: it had its device for so many seconds. */
export function correct(state: State, tenantName: string, lease: Lease, seconds: number): void {
  const { kind, chargedTier: tier, deviceSeconds, weight } = lease;
  const tenant = tenantOf(state, tenantName);
  const served = byTier(tenant.servedUntil, kind);
  served[tier] = (served[tier] ?? 0) + (seconds - deviceSeconds) / weight;
  tenant.leases -= 1;
  tenant.deviceSecondsUsed += seconds - deviceSeconds;
}

function byTier(times: Map<string, number[]>, kind: string): number[] {
  const known = times.get(kind);
  if (known) return known;
  const fresh = Array.from({ length: tiers }, () => 0);
  times.set(kind, fresh);
  if (times.size > kindsMax) {
    for (const oldest of times.keys()) {
      times.delete(oldest);
      break;
    }
  }
  return fresh;
}

function forgetOldest(state: State, except: string): void {
  for (const [name, { batchesUnfinished, leases }] of state.tenants) {
    if (batchesUnfinished > 0 || leases > 0 || name === except) continue;
    state.tenants.delete(name);
    return;
  }
}
