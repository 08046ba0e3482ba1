// Reads of batches: one with a page of its clips, and the list of all.

import { asFarmError, FarmError } from "../../common/errors.js";
import type {
  Batch as BatchMessage,
  GetBatchRequest,
  GetBatchResponse,
  ListBatchesRequest,
  ListBatchesResponse,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { Farm } from "../core/farm.js";
import type { Batch } from "../core/state.js";
import type { FarmPort, PromptStore } from "../ports.js";
import { toClipMessage } from "./convert.js";
import type { Outlook } from "./outlook.js";

const clipPageMax = 1_000;

/**
 * Of the prompts in one message: as UTF-8 they are 12 MiB at the most, which leaves room for what
 * else is told of their clips.
 */
export const promptCharactersMax = 4 * 1024 * 1024;
const batchPageDefault = 50;
const batchPageMax = 1_000;

/** More than any id has; what a message repeats of a bad one is cut here. */
export const idCharactersMax = 64;

export interface ReadContext {
  readonly farm: FarmPort;
  readonly outlook: Outlook;
  readonly prompts: PromptStore;
}

export async function getBatch(
  request: GetBatchRequest,
  { farm, outlook, prompts }: ReadContext,
): Promise<GetBatchResponse> {
  const first = pageStart(request.clipPageToken);
  const size = pageSize(request.clipPageSize, clipPageMax, clipPageMax);
  const key = await farm.query((now) => batchOf(now, request.batchId).promptsKey);
  const { texts, warnings } = await legible(prompts, key);
  return farm.query((now) => {
    const batch = batchOf(now, request.batchId);
    const end = Math.min(batch.clipsTotal, first + size);
    const clips = [];
    let next = first;
    for (let characters = 0; next < end && characters < promptCharactersMax; next++) {
      clips.push(toClipMessage(batch, next, now.live, texts));
      characters += texts[next]?.length ?? 0;
    }
    return {
      batch: withWarnings(outlook.batch(now, batch), warnings),
      clips,
      nextClipPageToken: next < batch.clipsTotal ? String(next) : "",
      sequence: BigInt(now.state.sequence),
    };
  });
}

/** Prompts that may be missing, and what to tell of that. */
export interface Legible {
  readonly texts: readonly string[];
  readonly warnings: readonly string[];
}

/** A batch is told of whole but for its prompts when the store does not give them. */
export async function legible(prompts: PromptStore, key: string): Promise<Legible> {
  try {
    return { texts: await prompts.load(key), warnings: [] };
  } catch (error) {
    const { message } = asFarmError(error);
    return { texts: [], warnings: [`the prompts cannot be read now: ${message}`] };
  }
}

export function withWarnings(batch: BatchMessage, warnings: readonly string[]): BatchMessage {
  return { ...batch, warnings: [...batch.warnings, ...warnings] };
}

/** Newest first; the token is the last id of the page before, so that new batches shift nothing. */
export function listBatches(
  now: Farm,
  request: ListBatchesRequest,
  outlook: Outlook,
): ListBatchesResponse {
  const size = pageSize(request.pageSize, batchPageDefault, batchPageMax);
  const token = request.pageToken;
  const older = [...now.state.batches.values()]
    .reverse()
    .filter(({ id }) => token === "" || id < token);
  const page = older.slice(0, size);
  return {
    batches: page.map((batch) => outlook.batch(now, batch)),
    nextPageToken: older.length > size ? (page.at(-1)?.id ?? "") : "",
  };
}

/** Throws NOT_FOUND. */
export function batchOf({ state }: Farm, id: string): Batch {
  const batch = state.batches.get(id);
  if (batch) return batch;
  throw new FarmError(
    "NOT_FOUND",
    `there is no batch "${id.slice(0, idCharactersMax)}"; ls lists them`,
  );
}

function pageSize(asked: number, preset: number, max: number): number {
  return asked === 0 ? preset : Math.min(asked, max);
}

function pageStart(token: string): number {
  if (token === "") return 0;
  if (/^\d{1,6}$/.test(token)) return Number(token);
  throw new FarmError("INVALID_ARGUMENT", "clip_page_token is none that this coordinator gave");
}
