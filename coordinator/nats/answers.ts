// What NATS throws, told as errors of the farm. Whatever it was, the outcome is unclear or the
// server is not there, so all of it is UNAVAILABLE.

import { NatsError } from "nats";
import { FarmError } from "../../common/errors.js";

/** JetStream's codes for another sequence than the expected one: a single server's, a cluster's. */
const wrongLastSequence: readonly unknown[] = [10071, 10164];

const streamNotFound = 10059;
const messageNotFound = 10037;

export function isWrongSequence(error: unknown): boolean {
  return wrongLastSequence.includes(apiCodeOf(error));
}

export function isStreamNotFound(error: unknown): boolean {
  return apiCodeOf(error) === streamNotFound;
}

export function isMessageNotFound(error: unknown): boolean {
  return apiCodeOf(error) === messageNotFound;
}

function apiCodeOf(error: unknown): number | undefined {
  return error instanceof NatsError ? error.api_error?.err_code : undefined;
}

/** Resolves as `work` does; throws what NATS throws as UNAVAILABLE. */
export async function answered<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof FarmError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const message = isWrongSequence(error)
      ? "another coordinator has written to the log"
      : `the log does not answer: ${reason}`;
    throw new FarmError("UNAVAILABLE", message, { cause: error });
  }
}
