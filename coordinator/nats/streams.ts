// Streams as a pool needs them: on disk, nothing given up by itself, with as many copies as asked.

import {
  DiscardPolicy,
  type JetStreamManager,
  type NatsConnection,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "nats";
import type { Log } from "../../common/log.js";
import { isStreamNotFound } from "./answers.js";

export interface StoreOptions {
  /** Servers that keep a copy: 1, or 3 in a cluster. */
  readonly replicas?: number;
  readonly log?: Log;
}

export interface StreamWish {
  readonly name: string;
  readonly subject: string;
  readonly replicas: number;
}

/** Who is asked answers within milliseconds, or is dead and will be followed by another one. */
const askMsMax = 2_000;

/** The servers of a cluster have to agree on a new stream. */
const changeMsMax = 10_000;

/** For questions only. */
export function asker(connection: NatsConnection): Promise<JetStreamManager> {
  return connection.jetstreamManager({ checkAPI: false, timeout: askMsMax });
}

function changer(connection: NatsConnection): Promise<JetStreamManager> {
  return connection.jetstreamManager({ checkAPI: false, timeout: changeMsMax });
}

/** Opens the stream, which is made if need be, or given what version 0.1 left out. */
export async function openStream(
  connection: NatsConnection,
  { name, subject, replicas }: StreamWish,
): Promise<void> {
  const found = await configOf(await asker(connection), name);
  const { streams } = await changer(connection);
  if (found === null) {
    await streams.add({
      name,
      subjects: [subject],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      num_replicas: replicas,
      allow_direct: true,
      deny_delete: true,
      deny_purge: true, // log-parts.ts says why
    });
  } else if (found.num_replicas < replicas || !found.allow_direct) {
    const num_replicas = Math.max(found.num_replicas, replicas);
    await streams.update(name, { num_replicas, allow_direct: true });
  }
}

/** Deletes the stream; another coordinator may have done so already. */
export async function deleteStream(connection: NatsConnection, name: string): Promise<void> {
  try {
    await (await changer(connection)).streams.delete(name);
  } catch (error) {
    if (!isStreamNotFound(error)) throw error;
  }
}

async function configOf(manager: JetStreamManager, name: string): Promise<StreamConfig | null> {
  try {
    return (await manager.streams.info(name)).config;
  } catch (error) {
    if (isStreamNotFound(error)) return null;
    throw error;
  }
}
