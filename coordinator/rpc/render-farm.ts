// The public service, put together: requests are checked, become commands or reads, and answers are
// made from the state that the log holds.

import { clientStream, serverStream, unary } from "../../common/rpc.js";
import type {
  DownloadArtifactRequest,
  DownloadArtifactResponse,
  GetBatchRequest,
  GetBatchResponse,
  ListBatchesRequest,
  ListBatchesResponse,
  RenderFarmServer,
  SubmitBatchRequest,
  SubmitBatchResponse,
  UploadBlobRequest,
  UploadBlobResponse,
  WatchBatchRequest,
  WatchBatchResponse,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { ArtifactStore, FarmPort, Planner, PromptStore } from "../ports.js";
import { artifactLink } from "./artifact-link.js";
import { downloadArtifact, uploadBlob } from "./artifact-streams.js";
import { getBatch, listBatches } from "./batch-reads.js";
import { answerWithBatch, batchVerbs } from "./batch-verbs.js";
import { type FarmIdentity, farmSummary } from "./farm-summary.js";
import { prepareSubmission } from "./submission.js";
import { watchBatch } from "./watch.js";
import { workerVerbs } from "./worker-verbs.js";

export interface RenderFarmOptions extends FarmIdentity {
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
    ...batchVerbs(farm),
    ...workerVerbs(farm),
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
    getFarm: unary(() => farm.query((now) => farmSummary(now, options))),
    uploadBlob: clientStream<UploadBlobRequest, UploadBlobResponse>((chunks) =>
      uploadBlob(chunks, store, uploadFolder),
    ),
    downloadArtifact: serverStream<DownloadArtifactRequest, DownloadArtifactResponse>(
      ({ key }, send) => downloadArtifact(key, farm, store, send),
    ),
    getArtifactLink: unary((request) => artifactLink(request, farm, store)),
  };
}
