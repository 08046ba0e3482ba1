// Events as bytes of the log: JSON with a version. A log that an older version wrote stays readable
// for ever: each version that changes the form adds one upcast function, which makes the form
// before it into its own.

import { assert } from "../../common/assert.js";
import { FarmError } from "../../common/errors.js";
import type { FarmEvent } from "../core/events.js";

export const currentVersion = 2;

/** A NATS message is at most 1 MiB with its headers. */
export const turnBytesMax = 1_000_000;

interface Envelope {
  readonly version: number;
  readonly events: readonly unknown[];
}

/** An event of any version: plain data with a type. */
type Form = Readonly<Record<string, unknown>>;

/** `upcasts[i]` makes an event of version i + 1 into one of version i + 2. */
const upcasts: readonly ((event: Form) => Form)[] = [fromVersion1];

/**
 * Version 1 knew clips of one segment without previews, deadlines or charges, and attempts that
 * began at step 0 always; its plans did not tell their refresh points.
 */
function fromVersion1(event: Form): Form {
  if (event["type"] === "BatchAccepted") {
    const plan = { ...(event["plan"] as Form), refreshPoints: [] };
    return { ...event, segments: 1, plan, preview: null, deadlineAt: null };
  }
  if (event["type"] === "LeaseGranted") {
    return { ...event, preview: false, segment: 0, resumeStep: 0, deviceSeconds: 0 };
  }
  return event;
}

/** One turn as a log message. */
export function encodeTurn(events: readonly FarmEvent[]): Uint8Array {
  const bytes = Buffer.from(JSON.stringify({ version: currentVersion, events }));
  assert(bytes.length <= turnBytesMax, `a turn of ${bytes.length} bytes, ${turnBytesMax} fit`);
  return bytes;
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
  if (needed.length === 0) return events as readonly FarmEvent[];
  return events.map((event) =>
    needed.reduce((form, upcast) => upcast(form), event as Form),
  ) as unknown as readonly FarmEvent[];
}

function parse(bytes: Uint8Array): Envelope {
  try {
    const { buffer, byteOffset, byteLength } = bytes; // no copy: a replay decodes gigabytes
    const value: unknown = JSON.parse(Buffer.from(buffer, byteOffset, byteLength).toString("utf8"));
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
