// Reads of batches: one with a page of its clips, and the list of all.

import { FarmError } from "../../common/errors.js";
import type {
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
  const texts = await prompts.load(key);
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
      batch: outlook.batch(now, batch),
      clips,
      nextClipPageToken: next < batch.clipsTotal ? String(next) : "",
      sequence: BigInt(now.state.sequence),
    };
  });
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
