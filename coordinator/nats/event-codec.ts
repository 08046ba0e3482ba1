// Events as bytes of the log: JSON with a version. A log that an older version wrote stays readable
// for ever: each version that changes the form adds one upcast function, which makes the form
// before it into its own.

import { assert } from "../../common/assert.js";
import { FarmError } from "../../common/errors.js";
import type {
  AttemptRef,
  BatchAccepted,
  FarmEvent,
  LeaseGranted,
  PlanFigures,
  RenderSpec,
} from "../core/events.js";
import { defaultPriority } from "../core/state.js";

export const currentVersion = 2;

/** A NATS message is at most 1 MiB with its headers. */
export const turnBytesMax = 1_000_000;

/** A message of the log: a turn, or the word where a log goes on whose stream ends here. */
export type LogMessage =
  | { readonly type: "turn"; readonly events: readonly FarmEvent[] }
  | { readonly type: "continuation"; readonly first: number };

interface Envelope {
  readonly version: number;
  readonly events?: readonly unknown[];
  /** Sequence of the next turn. */
  readonly continuesAt?: number;
}

/** An event of any version: plain data with a type. */
type Form = Readonly<Record<string, unknown>>;

/** `upcasts[i]` makes an event of version i + 1 into one of version i + 2. */
const upcasts: readonly ((event: Form) => Form)[] = [fromVersion1];

/**
 * Version 1 knew clips of one segment without previews, deadlines, charges, lossless frames or a
 * choice of samplers, and attempts that began at step 0 always; its plans did not tell their
 * refresh points.
 */
function fromVersion1(event: Form): Form {
  if (event["type"] === "BatchAccepted") {
    const plan = { ...(event["plan"] as Form), ...newInPlans };
    const spec = { ...(event["spec"] as Form), ...newInSpecs };
    return { ...event, ...newInBatches, plan, spec };
  }
  return event["type"] === "LeaseGranted" ? { ...event, ...newInLeases } : event;
}

// Typed as all fields but those of version 1, so that a further field cannot be forgotten here.
type PlanOf1 = "flops" | "flopsNone" | "cacheBytes" | "peakBytes" | "digest" | "warnings";
type SpecOf1 =
  | ("model" | "frames" | "height" | "width" | "fps" | "saveFps" | "steps" | "guidance" | "seed")
  | ("policy" | "scores" | "dtype" | "device" | "initialLatentKey" | "saveLatent" | "trace");
type BatchOf1 =
  | ("type" | "at" | "batch" | "name" | "tenant" | "priority" | "spec" | "weightsDigest")
  | ("clips" | "promptsKey" | "promptsSha256" | "plan" | "idempotencyKey" | "bodySha256");
type LeaseOf1 = keyof AttemptRef | "type" | "at" | "worker" | "device" | "kind";

const newInPlans: Omit<PlanFigures, PlanOf1> = { refreshPoints: [] };
const newInSpecs: Omit<RenderSpec, SpecOf1> = { saveFrames: false, sampler: "" };
const newInBatches: Omit<BatchAccepted, BatchOf1> = {
  segments: 1,
  preview: null,
  deadlineAt: null,
};
const newInLeases: Omit<LeaseGranted, LeaseOf1> = {
  ...{ preview: false, segment: 0, resumeStep: 0 },
  ...{ deviceSeconds: 0, tier: defaultPriority, weight: 1 },
};

/** One turn as a log message. */
export function encodeTurn(events: readonly FarmEvent[]): Uint8Array {
  const bytes = Buffer.from(JSON.stringify({ version: currentVersion, events }));
  assert(bytes.length <= turnBytesMax, `a turn of ${bytes.length} bytes, ${turnBytesMax} fit`);
  return bytes;
}

/** The last message of a stream, behind which the log goes on with turn `first` in another one. */
export function encodeContinuation(first: number): Uint8Array {
  return Buffer.from(JSON.stringify({ version: currentVersion, continuesAt: first }));
}

/**
 * A message of the log in the present form. Throws FAILED_PRECONDITION for a newer version, IO for
 * what is no message of a log.
 */
export function decodeMessage(bytes: Uint8Array): LogMessage {
  const { version, events, continuesAt } = parse(bytes);
  if (version > currentVersion) {
    throw new FarmError(
      "FAILED_PRECONDITION",
      `the log holds events of version ${version}, this program knows ${currentVersion}; ` +
        "start a newer program on it",
    );
  }
  if (events) return { type: "turn", events: raised(events, version) };
  if (continuesAt) return { type: "continuation", first: continuesAt };
  throw new FarmError("IO", "a message of the log is no turn of events");
}

/** The events of a turn. Throws as decodeMessage does, and IO for what is no turn. */
export function decodeTurn(bytes: Uint8Array): readonly FarmEvent[] {
  const message = decodeMessage(bytes);
  if (message.type === "turn") return message.events;
  throw new FarmError("IO", "a message of the log is no turn of events");
}

/** Events in the present form. Only leaders write the log, and each wrote what its version knew. */
function raised(events: readonly unknown[], version: number): readonly FarmEvent[] {
  const needed = upcasts.slice(version - 1);
  if (needed.length === 0) return events as readonly FarmEvent[];
  const forms: readonly unknown[] = events.map((event) =>
    needed.reduce((form, upcast) => upcast(form), event as Form),
  );
  return forms as readonly FarmEvent[];
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
  if (typeof value !== "object" || value === null) return false;
  const { version, events, continuesAt } = value as Form;
  const isTurn = Array.isArray(events) && continuesAt === undefined;
  const isContinuation = events === undefined && isSequence(continuesAt);
  return isSequence(version) && (isTurn || isContinuation);
}

function isSequence(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1;
}
