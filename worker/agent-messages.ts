// What the agent says of an attempt's end and of a device, as messages.
import type { ErrorCode, FarmError } from "../common/errors.js";
import { attemptName } from "../common/ids.js";
import type { AttemptRef, Device } from "../proto/gen/tocafarm/v1/worker.js";
import type { Supervisor } from "./supervisor.js";

/** `<segment>/<attempt>`: one text to compare and to log. */
export function nameOf({ segmentId, attempt }: AttemptRef): string {
  return attemptName(segmentId, attempt);
}

/** With a dead child, as a rule: an attempt ends only when its engine is idle again or gone. */
export function failedReport(attempt: AttemptRef, { code, message }: FarmError, childDead = true) {
  const failure: { code: ErrorCode; message: string } = { code, message };
  return { $case: "failed" as const, value: { attempt, failure, childDead } };
}

/** What of a device changes, as one text to compare. */
export function newsOf({ status, loadedModel }: Supervisor): string {
  return `${status} ${loadedModel}`;
}

const deviceStates = {
  starting: "DEVICE_STATE_STARTING",
  ready: "DEVICE_STATE_READY",
  failed: "DEVICE_STATE_FAILED",
} as const;

export function deviceMessage({ settings, info, status, loadedModel }: Supervisor): Device {
  return {
    name: settings.device,
    kind: info?.kind ?? "",
    memoryBytes: BigInt(info?.memoryBytes ?? 0),
    dtype: settings.dtype,
    state: deviceStates[status],
    loadedModel,
  };
}
