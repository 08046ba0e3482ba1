// Events as bytes of the log: JSON with a version. A log that an older version wrote stays readable
// for ever: each version that changes the form adds one upcast function, which makes the form
// before it into its own.

import { FarmError } from "../../common/errors.js";
import type { FarmEvent } from "../core/events.js";

export const currentVersion = 1;

interface Envelope {
  readonly version: number;
  readonly events: readonly unknown[];
}

/** `upcasts[i]` makes an event of version i + 1 into one of version i + 2. */
const upcasts: readonly ((event: unknown) => unknown)[] = [];

/** One turn as a log message. */
export function encodeTurn(events: readonly FarmEvent[]): Uint8Array {
  return Buffer.from(JSON.stringify({ version: currentVersion, events }));
}

/**
 * The events of a log message, in the present form. Throws FAILED_PRECONDITION for a newer version,
 * IO for what is no turn.
 */
export function decodeTurn(bytes: Uint8Array): readonly FarmEvent[] {
  const { version, events } = parse(bytes);
  if (version > currentVersion) {
    throw new FarmError(
      "FAILED_PRECONDITION",
      `the log holds events of version ${version}, this program knows ${currentVersion}; ` +
        "start a newer program on it",
    );
  }
  const needed = upcasts.slice(version - 1);
  // Only leaders write the log, and each wrote events of its version.
  return events.map((event) => needed.reduce((form, upcast) => upcast(form), event)) as FarmEvent[];
}

function parse(bytes: Uint8Array): Envelope {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (isEnvelope(value)) return value;
  } catch (error) {
    throw new FarmError("IO", "a message of the log is no JSON", { cause: error });
  }
  throw new FarmError("IO", "a message of the log is no turn of events");
}

function isEnvelope(value: unknown): value is Envelope {
  return (
    typeof value === "object" &&
    value !== null &&
    "version" in value &&
    Number.isInteger(value.version) &&
    Number(value.version) >= 1 &&
    "events" in value &&
    Array.isArray(value.events)
  );
}
