// The farm at a glance: who leads, what waits, and how tenants share the devices.

import type { GetFarmResponse } from "../../proto/gen/tocafarm/v1/farm.js";
import type { Farm } from "../core/farm.js";

/** What a coordinator knows of its pool beside the log. */
export interface FarmIdentity {
  readonly pool: string;
  /** HOST:PORT of the leader's gRPC; "" = unknown. */
  readonly leader: () => string;
}

export function farmSummary({ state }: Farm, { pool, leader }: FarmIdentity): GetFarmResponse {
  return {
    pool,
    term: BigInt(state.term),
    leader: leader(),
    sequence: BigInt(state.sequence),
    backlogDeviceSeconds: 0,
    tenants: [],
  };
}
