// The state as one text, and back: JSON with a version, the same text for the same state.
// Everything in the state is in it, also the order of maps and sets, since later decisions follow
// from it. A snapshot that an older version wrote stays readable: each version that changes the
// form adds one upcast function.

import { present } from "../../common/assert.js";
import { type PlainPublication, Publication } from "./publication.js";
import {
  type Batch,
  type Clip,
  clipKey,
  type DeviceTrouble,
  emptyState,
  type Lease,
  newClip,
  type State,
  type Submission,
  type Tenant,
} from "./state.js";

export const snapshotVersion = 1;

/** `upcasts[i]` makes a snapshot of version i + 1 into one of version i + 2. */
const upcasts: readonly ((snapshot: unknown) => unknown)[] = [];

/** The text is no snapshot, or one of a newer program. `code` is one of common/errors.ts. */
export class SnapshotError extends Error {
  override readonly name = "SnapshotError";
  readonly code: "FAILED_PRECONDITION" | "IO";

  constructor(code: SnapshotError["code"], message: string, options?: { readonly cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}

type Entries<V> = readonly (readonly [string, V])[];
type Place = readonly [batch: string, clip: number];

/** What differs from a clip that was just given its record. */
interface PlainClip extends Omit<Partial<Clip>, "publication" | "preview" | "segmentsDone"> {
  readonly index: number;
  publication?: PlainPublication;
  preview?: PlainPublication;
  segmentsDone?: readonly PlainPublication[];
}

type Collections = "clips" | "waiting" | "promoted" | "leased" | "failuresByWorker";

interface PlainBatch extends Omit<Batch, Collections> {
  readonly clips: readonly PlainClip[];
  readonly waiting: readonly number[];
  readonly promoted: readonly number[];
  readonly leased: readonly number[];
  readonly failuresByWorker: Entries<number>;
}

interface PlainTenant extends Omit<Tenant, "servedUntil"> {
  readonly servedUntil: Entries<number[]>;
}

type Counts = {
  readonly [K in keyof State as State[K] extends number ? K : never]: number;
};

interface Snapshot {
  readonly version: number;
  readonly counts: Counts;
  readonly batches: readonly PlainBatch[];
  readonly unfinished: readonly string[];
  readonly ended: readonly string[];
  readonly leases: readonly Place[];
  readonly leasesByWorker: Entries<readonly Place[]>;
  readonly tenants: Entries<PlainTenant>;
  readonly virtualTimes: Entries<number[]>;
  readonly submissions: Entries<Submission>;
  readonly speeds: Entries<number>;
  readonly modelSpeeds: Entries<number>;
  readonly troubles: Entries<DeviceTrouble>;
  readonly canaries: Entries<string>;
  readonly drained: readonly string[];
}

export function encodeState(state: State): string {
  const { term, sequence, at, batchesAccepted, rankFirst, rankLast } = state;
  const { clipsHeld, clipsEnded, clipsQueued } = state;
  const snapshot: Snapshot = {
    version: snapshotVersion,
    counts: {
      ...{ term, sequence, at, batchesAccepted, rankFirst, rankLast },
      ...{ clipsHeld, clipsEnded, clipsQueued },
    },
    batches: [...state.batches.values()].map(plainBatch),
    unfinished: [...state.unfinished.keys()],
    ended: [...state.ended.keys()],
    leases: [...state.leases.values()].map(placeOf),
    leasesByWorker: [...state.leasesByWorker].map(([name, of]) => [name, [...of].map(placeOf)]),
    tenants: [...state.tenants].map(([name, tenant]) => [name, plainTenant(tenant)]),
    virtualTimes: [...state.virtualTimes],
    submissions: [...state.submissions],
    speeds: [...state.speeds],
    modelSpeeds: [...state.modelSpeeds],
    troubles: [...state.troubles],
    canaries: [...state.canaries],
    drained: [...state.drained],
  };
  return JSON.stringify(snapshot);
}

/** Throws SnapshotError: FAILED_PRECONDITION for a newer version, IO for what is no snapshot. */
export function decodeState(text: string): State {
  const snapshot = upToDate(text);
  const state: State = { ...emptyState(), ...snapshot.counts };
  for (const plain of snapshot.batches) {
    const batch = batchFrom(plain);
    state.batches.set(batch.id, batch);
  }
  const batchOf = (id: string): Batch => present(state.batches.get(id), `there is a batch ${id}`);
  const leaseOf = ([id, clip]: Place): Lease =>
    present(batchOf(id).clips.get(clip)?.lease, `clip ${clip} of ${id} is leased`);
  for (const id of snapshot.unfinished) state.unfinished.set(id, batchOf(id));
  for (const id of snapshot.ended) state.ended.set(id, batchOf(id));
  for (const place of snapshot.leases) state.leases.set(clipKey(...place), leaseOf(place));
  for (const [worker, places] of snapshot.leasesByWorker) {
    state.leasesByWorker.set(worker, new Set(places.map(leaseOf)));
  }
  for (const [name, { servedUntil, ...tenant }] of snapshot.tenants) {
    state.tenants.set(name, { ...tenant, servedUntil: new Map(servedUntil) });
  }
  fill(state.virtualTimes, snapshot.virtualTimes);
  fill(state.submissions, snapshot.submissions);
  fill(state.speeds, snapshot.speeds);
  fill(state.modelSpeeds, snapshot.modelSpeeds);
  fill(state.troubles, snapshot.troubles);
  fill(state.canaries, snapshot.canaries);
  for (const worker of snapshot.drained) state.drained.add(worker);
  return state;
}

function upToDate(text: string): Snapshot {
  const parsed = parse(text);
  if (parsed.version > snapshotVersion) {
    throw new SnapshotError(
      "FAILED_PRECONDITION",
      `the snapshot is of version ${parsed.version}, this program knows ${snapshotVersion}; ` +
        "start a newer program on it",
    );
  }
  const needed = upcasts.slice(parsed.version - 1);
  // Only leaders write snapshots, their digest was checked, and each wrote one of its version.
  return needed.reduce((form: unknown, upcast) => upcast(form), parsed) as Snapshot;
}

function parse(text: string): { readonly version: number } {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && "version" in value) {
      const { version } = value;
      if (typeof version === "number" && Number.isInteger(version) && version >= 1) {
        return { ...value, version };
      }
    }
  } catch (cause) {
    throw new SnapshotError("IO", "the snapshot is no JSON", { cause });
  }
  throw new SnapshotError("IO", "the text is no snapshot");
}

function plainBatch(batch: Batch): PlainBatch {
  const { clips, waiting, promoted, leased, failuresByWorker, ...same } = batch;
  const fresh = new Map<string, unknown>(Object.entries(newClip(batch, -1)));
  return {
    ...same,
    clips: [...clips.values()].map((clip) => plainClip(clip, fresh)),
    waiting: [...waiting],
    promoted: [...promoted],
    leased: [...leased],
    failuresByWorker: [...failuresByWorker],
  };
}

function batchFrom(plain: PlainBatch): Batch {
  const { clips, waiting, promoted, leased, failuresByWorker, ...same } = plain;
  const batch: Batch = {
    ...same,
    clips: new Map(),
    waiting: new Set(waiting),
    promoted: new Set(promoted),
    leased: new Set(leased),
    failuresByWorker: new Map(failuresByWorker),
  };
  for (const clip of clips) batch.clips.set(clip.index, clipFrom(batch, clip));
  return batch;
}

function plainClip(clip: Clip, fresh: ReadonlyMap<string, unknown>): PlainClip {
  const { publication, preview, segmentsDone, ...same } = clip;
  const changed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(same)) {
    if (fresh.get(name) !== value) changed[name] = value;
  }
  const plain: PlainClip = { ...changed, index: clip.index };
  if (publication) plain.publication = publication.plain();
  if (preview) plain.preview = preview.plain();
  if (segmentsDone.length > 0) plain.segmentsDone = segmentsDone.map((files) => files.plain());
  return plain;
}

function clipFrom(batch: Batch, plain: PlainClip): Clip {
  const { publication, preview, segmentsDone, ...same } = plain;
  const clip: Clip = Object.assign(newClip(batch, plain.index), same);
  if (publication) clip.publication = new Publication(publication);
  if (preview) clip.preview = new Publication(preview);
  if (segmentsDone) clip.segmentsDone = segmentsDone.map((files) => new Publication(files));
  return clip;
}

function plainTenant({ servedUntil, ...same }: Tenant): PlainTenant {
  return { ...same, servedUntil: [...servedUntil] };
}

function placeOf({ batch, clip }: Lease): Place {
  return [batch, clip];
}

function fill<V>(map: Map<string, V>, entries: Entries<V>): void {
  for (const [key, value] of entries) map.set(key, value);
}
