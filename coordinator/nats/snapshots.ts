// Snapshots of a pool's state in a JetStream stream of their own: chunks, and behind them one
// message that tells how many they are and what they add up to. Each snapshot has subjects of its
// own, so that two writers at once (a leader that was overtaken goes on for a moment) cannot mix
// their chunks; and since a snapshot is the fold of one log up to one sequence, both are right.

import { createHash, randomUUID } from "node:crypto";
import type { JetStreamClient, JetStreamManager, NatsConnection } from "nats";
import { FarmError } from "../../common/errors.js";
import { type Log, silentLog } from "../../common/log.js";
import type { SnapshotStore } from "../ports.js";
import { answered, isMessageNotFound } from "./answers.js";
import { deliver } from "./delivery.js";
import { openStream, type StoreOptions } from "./streams.js";

const chunkBytesMax = 256 * 1024;

/** Chunks on their way at a time: 2 MiB. */
const chunksInFlightMax = 8;

const publishMsMax = 10_000;

/** A reading that was interrupted while the server is there is tried once more. */
const readTriesMax = 2;

/** The message behind the chunks. */
interface Seal {
  readonly version: 1;
  readonly chunks: number;
  /** Of all chunks, hex. */
  readonly sha256: string;
}

/** A snapshot by the subjects of its messages. */
interface Place {
  readonly sequence: number;
  /** Made for this snapshot. */
  readonly id: string;
}

interface Stored extends Place {
  readonly chunks: number;
  readonly sealed: boolean;
}

interface Store {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly client: JetStreamClient;
  readonly name: string;
  readonly prefix: string;
}

/** Opens the pool's snapshots. Throws UNAVAILABLE when JetStream does not answer. */
export async function openSnapshots(
  connection: NatsConnection,
  pool: string,
  { replicas = 1, log = silentLog }: StoreOptions = {},
): Promise<SnapshotStore> {
  const name = `TOCAFARM_${pool}_snapshots`;
  const prefix = `tocafarm.${pool}.snapshots`;
  const manager = await answered(connection.jetstreamManager());
  await answered(openStream(manager, { name, subjects: [`${prefix}.>`], replicas }));
  const client = connection.jetstream({ timeout: publishMsMax });
  const store = { connection, manager, client, name, prefix };
  return {
    newest: () => answered(newest(store, log)),
    save: (sequence, text) => answered(save(store, sequence, Buffer.from(text, "utf8"))),
  };
}

async function newest(store: Store, log: Log): ReturnType<SnapshotStore["newest"]> {
  const sealed = (await list(store)).filter((stored) => stored.sealed);
  for (const stored of sealed.sort((a, b) => b.sequence - a.sequence)) {
    const bytes = await read(store, stored, stored.chunks);
    if (bytes !== null) return { sequence: stored.sequence, text: bytes.toString("utf8") };
    log.error({ sequence: stored.sequence }, "a damaged snapshot is passed over");
  }
  return null;
}

async function save(store: Store, sequence: number, bytes: Buffer): Promise<void> {
  const place = { sequence, id: randomUUID() };
  const chunks = await write(store, place, bytes);
  const stored = await read(store, place, chunks);
  if (!stored?.equals(bytes)) {
    throw new FarmError(
      "IO",
      `the snapshot at ${sequence} of ${bytes.length} bytes came back other than it was written; ` +
        "the one before is kept",
    );
  }
  for (const other of await list(store)) {
    if (other.sequence < sequence) {
      await store.manager.streams.purge(store.name, { filter: `${subjectOf(store, other)}.*` });
    }
  }
}

/** Writes chunks and seal; resolves to the number of chunks. */
async function write(store: Store, place: Place, bytes: Buffer): Promise<number> {
  const subject = subjectOf(store, place);
  const chunks = Math.ceil(bytes.length / chunkBytesMax);
  for (let first = 0; first < chunks; first += chunksInFlightMax) {
    const count = Math.min(chunksInFlightMax, chunks - first);
    const publishing = Array.from({ length: count }, (_, index) => {
      const start = (first + index) * chunkBytesMax;
      const chunk = bytes.subarray(start, start + chunkBytesMax);
      return store.client.publish(`${subject}.chunk`, chunk);
    });
    await Promise.all(publishing);
  }
  const seal: Seal = { version: 1, chunks, sha256: sha256Of(bytes) };
  await store.client.publish(`${subject}.seal`, JSON.stringify(seal));
  return chunks;
}

/** The snapshot's bytes; null when they are not whole. Throws UNAVAILABLE. */
async function read(store: Store, place: Place, chunksStored: number): Promise<Buffer | null> {
  const subject = subjectOf(store, place);
  const seal = await readSeal(store, `${subject}.seal`);
  if (seal === null || seal.chunks !== chunksStored) return null;
  for (let tries = 0; tries < readTriesMax; tries++) {
    const chunks = seal.chunks > 0 ? await readChunks(store, `${subject}.chunk`, seal.chunks) : [];
    if (chunks === null) continue;
    const bytes = Buffer.concat(chunks);
    return sha256Of(bytes) === seal.sha256 ? bytes : null;
  }
  return null;
}

async function readChunks(
  { connection, manager, name }: Store,
  subject: string,
  count: number,
): Promise<readonly Uint8Array[] | null> {
  const chunks: Uint8Array[] = [];
  const interruption = await deliver(connection, manager, {
    ...{ stream: name, subject, from: 1, endless: false, signal: undefined },
    onMessage: (data) => chunks.push(data) === count,
  });
  if (interruption === null) return chunks;
  await manager.streams.info(name); // throws when it is the server that is away
  return null;
}

async function readSeal({ manager, name }: Store, subject: string): Promise<Seal | null> {
  try {
    const { data } = await manager.streams.getMessage(name, { last_by_subj: subject });
    const value: unknown = JSON.parse(Buffer.from(data).toString("utf8"));
    return isSeal(value) ? value : null;
  } catch (error) {
    if (error instanceof SyntaxError || isMessageNotFound(error)) return null;
    throw error;
  }
}

function isSeal(value: unknown): value is Seal {
  if (typeof value !== "object" || value === null) return false;
  const { version, chunks, sha256 } = value as Readonly<Record<string, unknown>>;
  return version === 1 && Number.isInteger(chunks) && typeof sha256 === "string";
}

/** Every snapshot that has messages. */
async function list({ manager, name, prefix }: Store): Promise<Stored[]> {
  const { state } = await manager.streams.info(name, { subjects_filter: `${prefix}.>` });
  const found = new Map<string, Stored>();
  for (const [subject, count] of Object.entries(state.subjects ?? {})) {
    const [sequence, id, part] = subject.slice(prefix.length + 1).split(".");
    if (sequence === undefined || id === undefined) continue;
    const key = `${sequence}.${id}`;
    const known = found.get(key) ?? { sequence: Number(sequence), id, chunks: 0, sealed: false };
    found.set(key, part === "seal" ? { ...known, sealed: true } : { ...known, chunks: count });
  }
  return [...found.values()];
}

function subjectOf({ prefix }: Store, { sequence, id }: Place): string {
  return `${prefix}.${sequence}.${id}`;
}

function sha256Of(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
