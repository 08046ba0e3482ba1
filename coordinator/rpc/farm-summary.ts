// The farm at a glance: who leads, what waits, and how tenants share the devices.

import type { GetFarmResponse } from "../../proto/gen/tocafarm/v1/farm.js";
import type { Farm } from "../core/farm.js";
import type { Outlook } from "./outlook.js";

/** What a coordinator knows of its pool beside the log. */
export interface FarmIdentity {
  readonly pool: string;
  /** HOST:PORT of the leader's gRPC; "" = unknown. */
  readonly leader: () => string;
}

export function farmSummary(
  now: Farm,
  { pool, leader, outlook }: FarmIdentity & { readonly outlook: Outlook },
): GetFarmResponse {
  const { state } = now;
  const forecast = outlook.forecast(now);
  const { backlogDeviceSeconds, secondsToFinish } = forecast.pool;
  const isLearnt = state.speeds.size > 0;
  return {
    pool,
    term: BigInt(state.term),
    leader: leader(),
    sequence: BigInt(state.sequence),
    backlogDeviceSeconds,
    secondsToFinish: (isLearnt ? secondsToFinish : null) ?? undefined,
    tenants: [...forecast.tenants].map(([tenant, share]) => ({
      tenant,
      weight: share.weight,
      clipsRunning: share.running,
      clipsWaiting: share.waiting,
      deviceSecondsUsed: share.deviceSecondsUsed,
      backlogDeviceSeconds: share.backlogDeviceSeconds,
    })),
  };
}
