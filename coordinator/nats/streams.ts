// Streams as a pool needs them: on disk, nothing given up by itself, with as many copies as asked.

import {
  DiscardPolicy,
  type JetStreamManager,
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
  readonly subjects: readonly string[];
  readonly replicas: number;
}

/** Opens the stream, which is made if need be; one with fewer copies gets more. */
export async function openStream(
  manager: JetStreamManager,
  { name, subjects, replicas }: StreamWish,
): Promise<StreamConfig> {
  const found = await configOf(manager, name);
  if (found === null) {
    const { config } = await manager.streams.add({
      name,
      subjects: [...subjects],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      num_replicas: replicas,
      deny_delete: true,
      deny_purge: true, // log-parts.ts says why
    });
    return config;
  }
  if (found.num_replicas >= replicas) return found;
  return (await manager.streams.update(name, { num_replicas: replicas })).config;
}

async function configOf(manager: JetStreamManager, name: string): Promise<StreamConfig | null> {
  try {
    return (await manager.streams.info(name)).config;
  } catch (error) {
    if (isStreamNotFound(error)) return null;
    throw error;
  }
}
