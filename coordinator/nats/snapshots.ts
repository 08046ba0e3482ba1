// Snapshots of a pool's state, each in a JetStream stream of its own: chunks, and behind them one
// message that says how many they are and what they add up to. So two writers at once (a leader
// that was overtaken goes on for a moment) cannot mix their chunks; and since a snapshot is the
// fold of one log up to one sequence, both are right. Streams are deleted as a whole, never purged:
// log-parts.ts says why.

import { createHash, randomUUID } from "node:crypto";
import type { JetStreamManager, NatsConnection } from "nats";
import { monotonicClock, sleep } from "../../common/clock.js";
import { FarmError } from "../../common/errors.js";
import { type Log, silentLog } from "../../common/log.js";
import type { SnapshotStore } from "../ports.js";
import { answered, isMessageNotFound, isStreamNotFound } from "./answers.js";
import { readBatch } from "./direct-reads.js";
import { asker, deleteStream, openStream, type StoreOptions } from "./streams.js";

const chunkBytesMax = 256 * 1024;

/** Chunks on their way at a time: 2 MiB. */
const chunksInFlightMax = 8;

const publishMsMax = 10_000;

/** A copy in a cluster may be behind for a moment. */
const behindMsMax = 10_000;
const lookAgainMs = 100;

/** The message behind the chunks. */
interface Seal {
  readonly version: 1;
  readonly chunks: number;
  /** Of all chunks, hex. */
  readonly sha256: string;
}

/** The stream of one snapshot. */
interface Place {
  readonly sequence: number;
  readonly stream: string;
  readonly subject: string;
}

interface Store {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly pool: string;
  readonly replicas: number;
  readonly log: Log;
}

/** Opens the pool's snapshots. Throws UNAVAILABLE when JetStream does not answer. */
export async function openSnapshots(
  connection: NatsConnection,
  pool: string,
  { replicas = 1, log = silentLog }: StoreOptions = {},
): Promise<SnapshotStore> {
  const manager = await answered(asker(connection));
  const store = { connection, manager, pool, replicas, log };
  return {
    newest: () => answered(newest(store)),
    save: (sequence, text) => answered(save(store, sequence, Buffer.from(text, "utf8"))),
  };
}

async function newest(store: Store): ReturnType<SnapshotStore["newest"]> {
  const places = await list(store);
  for (const place of places.sort((a, b) => b.sequence - a.sequence)) {
    const bytes = await read(store, place);
    if (bytes !== null) return { sequence: place.sequence, text: bytes.toString("utf8") };
    const { stream } = place;
    store.log.warn({ stream }, "a snapshot that is unfinished or damaged is passed over");
  }
  return null;
}

async function save(store: Store, sequence: number, bytes: Buffer): Promise<void> {
  const place = placeOf(store.pool, sequence, randomUUID().slice(0, 8));
  await write(store, place, bytes);
  const stored = await read(store, place);
  if (!stored?.equals(bytes)) {
    throw new FarmError(
      "IO",
      `the snapshot at ${sequence} of ${bytes.length} bytes came back other than it was written; ` +
        "the one before is kept",
    );
  }
  for (const other of await list(store)) {
    if (other.sequence < sequence) await deleteStream(store.connection, other.stream);
  }
}

/** Writes chunks and seal. */
async function write(store: Store, { stream, subject }: Place, bytes: Buffer): Promise<void> {
  const { connection, replicas } = store;
  await openStream(connection, { name: stream, subject, replicas });
  const client = connection.jetstream({ timeout: publishMsMax });
  const chunks = Math.ceil(bytes.length / chunkBytesMax);
  for (let first = 0; first < chunks; first += chunksInFlightMax) {
    const count = Math.min(chunksInFlightMax, chunks - first);
    const publishing = Array.from({ length: count }, (_, index) => {
      const start = (first + index) * chunkBytesMax;
      return client.publish(subject, bytes.subarray(start, start + chunkBytesMax));
    });
    await Promise.all(publishing);
  }
  const seal: Seal = { version: 1, chunks, sha256: sha256Of(bytes) };
  await client.publish(subject, JSON.stringify(seal));
}

/** The snapshot's bytes; null when they are not whole. Throws UNAVAILABLE. */
async function read(store: Store, place: Place): Promise<Buffer | null> {
  const seal = await readSeal(store, place);
  if (seal === null) return null;
  const chunks = seal.chunks > 0 ? await readChunks(store, place, seal.chunks) : [];
  const bytes = Buffer.concat(chunks ?? []);
  return chunks !== null && sha256Of(bytes) === seal.sha256 ? bytes : null;
}

/** The chunks; null when they do not come from servers that answer. */
async function readChunks(
  { connection }: Store,
  { stream }: Place,
  count: number,
): Promise<readonly Uint8Array[] | null> {
  const chunks: Uint8Array[] = [];
  let heardMs = monotonicClock.now();
  while (chunks.length < count) {
    const more = await readBatch(connection, stream, chunks.length + 1);
    chunks.push(...more);
    if (more.length > 0) {
      heardMs = monotonicClock.now();
    } else {
      if (monotonicClock.now() - heardMs > behindMsMax) return null;
      await sleep(lookAgainMs);
    }
  }
  return chunks.slice(0, count);
}

/** The last message, if it is a seal and nothing before it is missing. */
async function readSeal({ manager }: Store, { stream }: Place): Promise<Seal | null> {
  try {
    const { state, cluster } = await manager.streams.info(stream);
    if (cluster !== undefined && !cluster.leader) {
      throw new FarmError("UNAVAILABLE", `too few servers have ${stream} in full to read it now`);
    }
    if (state.messages === 0) return null;
    const { data } = await manager.streams.getMessage(stream, { seq: state.last_seq });
    const seal: unknown = JSON.parse(Buffer.from(data).toString("utf8"));
    return isSeal(seal) && seal.chunks + 1 === state.messages ? seal : null;
  } catch (error) {
    const isAbsent = isStreamNotFound(error) || isMessageNotFound(error);
    if (isAbsent || error instanceof SyntaxError) return null;
    throw error;
  }
}

function isSeal(value: unknown): value is Seal {
  if (typeof value !== "object" || value === null) return false;
  const { version, chunks, sha256 } = value as Readonly<Record<string, unknown>>;
  return version === 1 && Number.isInteger(chunks) && typeof sha256 === "string";
}

/** Every snapshot that was begun. */
async function list({ manager, pool }: Store): Promise<Place[]> {
  const found: Place[] = [];
  for await (const stream of manager.streams.names(`tocafarm.${pool}.snapshots.>`)) {
    const [, , sequence, id] = stream.split("@");
    if (sequence && id) found.push(placeOf(pool, Number(sequence), id));
  }
  return found;
}

/** A name of a pool has no "@". */
function placeOf(pool: string, sequence: number, id: string): Place {
  return {
    sequence,
    stream: `TOCAFARM_${pool}@snapshot@${sequence}@${id}`,
    subject: `tocafarm.${pool}.snapshots.${sequence}.${id}`,
  };
}

function sha256Of(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
