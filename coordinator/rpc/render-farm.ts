// The public service: requests are checked, become commands or reads, and answers are made from the
// state that the log holds.

import { FarmError } from "../../common/errors.js";
import { clientStream, serverStream, unary } from "../../common/rpc.js";
import type {
  CancelBatchRequest,
  CancelBatchResponse,
  DownloadArtifactRequest,
  DownloadArtifactResponse,
  GetBatchRequest,
  GetBatchResponse,
  ListBatchesRequest,
  ListBatchesResponse,
  ListWorkersRequest,
  ListWorkersResponse,
  RenderFarmServer,
  SubmitBatchRequest,
  SubmitBatchResponse,
  UploadBlobRequest,
  UploadBlobResponse,
  WatchBatchRequest,
  WatchBatchResponse,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { Command } from "../core/commands.js";
import type { Farm } from "../core/farm.js";
import type { Batch } from "../core/state.js";
import type { ArtifactStore, FarmPort, Planner, PromptStore } from "../ports.js";
import { downloadArtifact, uploadBlob } from "./artifact-streams.js";
import { toBatchMessage, toClipMessage, toWorkerMessage } from "./convert.js";
import { prepareSubmission } from "./submission.js";
import { watchBatch } from "./watch.js";

const clipPageMax = 1_000;
const batchPageDefault = 50;
const batchPageMax = 1_000;

export interface RenderFarmOptions {
  readonly farm: FarmPort;
  readonly store: ArtifactStore;
  readonly prompts: PromptStore;
  readonly plan: Planner;
  /** For uploads on their way. */
  readonly uploadFolder: string;
  /** Aborts when the coordinator stops; its reason ends the streams. */
  readonly stopping: AbortSignal;
}

export function renderFarmService(options: RenderFarmOptions): RenderFarmServer {
  const { farm, store, prompts, uploadFolder, stopping } = options;
  return {
    submitBatch: unary<SubmitBatchRequest, SubmitBatchResponse>(async (request) => {
      const submission = await prepareSubmission(request, options);
      return answerWithBatch(farm, { type: "submit", submission });
    }),
    getBatch: unary<GetBatchRequest, GetBatchResponse>((request) =>
      getBatch(farm, prompts, request),
    ),
    listBatches: unary<ListBatchesRequest, ListBatchesResponse>((request) =>
      farm.query((now) => listBatches(now, request)),
    ),
    watchBatch: serverStream<WatchBatchRequest, WatchBatchResponse>((request, send, { signal }) =>
      watchBatch({ farm, prompts, request, send, signal: AbortSignal.any([signal, stopping]) }),
    ),
    cancelBatch: unary<CancelBatchRequest, CancelBatchResponse>(({ batchId }) =>
      answerWithBatch(farm, { type: "cancel", batch: batchId.slice(0, 64) }),
    ),
    listWorkers: unary<ListWorkersRequest, ListWorkersResponse>(() =>
      farm.query(({ state, live }) => ({
        workers: [...live.workers.values()].map((worker) => toWorkerMessage(worker, state)),
      })),
    ),
    uploadBlob: clientStream<UploadBlobRequest, UploadBlobResponse>((chunks) =>
      uploadBlob(chunks, store, uploadFolder),
    ),
    downloadArtifact: serverStream<DownloadArtifactRequest, DownloadArtifactResponse>(
      ({ key }, send) => downloadArtifact(key, farm, store, send),
    ),
  };
}

/** Carries out a command that is about one batch, and answers how the batch stands then. */
async function answerWithBatch(
  farm: FarmPort,
  command: Command,
): Promise<{ batch: ReturnType<typeof toBatchMessage> }> {
  const { refusal, batch } = await farm.command(command);
  if (refusal) throw new FarmError(refusal.code, refusal.message);
  return farm.query((now) => ({ batch: toBatchMessage(batchOf(now, batch ?? "")) }));
}

async function getBatch(
  farm: FarmPort,
  prompts: PromptStore,
  request: GetBatchRequest,
): Promise<GetBatchResponse> {
  const first = pageStart(request.clipPageToken);
  const size = pageSize(request.clipPageSize, clipPageMax, clipPageMax);
  const key = await farm.query((now) => batchOf(now, request.batchId).promptsKey);
  const texts = await prompts.load(key);
  return farm.query((now) => {
    const batch = batchOf(now, request.batchId);
    const end = Math.min(batch.clipsTotal, first + size);
    const clips = [];
    for (let index = first; index < end; index++) {
      clips.push(toClipMessage(batch, index, now.live, texts));
    }
    return {
      batch: toBatchMessage(batch),
      clips,
      nextClipPageToken: end < batch.clipsTotal ? String(end) : "",
      sequence: BigInt(now.state.sequence),
    };
  });
}

/** Newest first; the token is the last id of the page before, so that new batches shift nothing. */
function listBatches({ state }: Farm, request: ListBatchesRequest): ListBatchesResponse {
  const size = pageSize(request.pageSize, batchPageDefault, batchPageMax);
  const token = request.pageToken;
  const older = [...state.batches.values()]
    .reverse()
    .filter(({ id }) => token === "" || id < token);
  const page = older.slice(0, size);
  return {
    batches: page.map(toBatchMessage),
    nextPageToken: older.length > size ? (page.at(-1)?.id ?? "") : "",
  };
}

function batchOf({ state }: Farm, id: string): Batch {
  const batch = state.batches.get(id);
  if (batch) return batch;
  throw new FarmError("NOT_FOUND", `there is no batch "${id.slice(0, 64)}"; ls lists them`);
}

function pageSize(asked: number, preset: number, max: number): number {
  return asked === 0 ? preset : Math.min(asked, max);
}

function pageStart(token: string): number {
  if (token === "") return 0;
  if (/^\d{1,6}$/.test(token)) return Number(token);
  throw new FarmError("INVALID_ARGUMENT", "clip_page_token is none that this coordinator gave");
}
