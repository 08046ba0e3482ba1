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
import { batchVerbs } from "./batch-verbs.js";
import { type FarmIdentity, farmSummary } from "./farm-summary.js";
import { createOutlook } from "./outlook.js";
import { submitBatch } from "./submission.js";
import { watchBatch } from "./watch.js";
import { workerVerbs } from "./worker-verbs.js";

export interface RenderFarmOptions extends FarmIdentity {
  readonly farm: FarmPort;
  readonly store: ArtifactStore;
  readonly prompts: PromptStore;
  readonly planner: Planner;
  /** For uploads on their way. */
  readonly uploadFolder: string;
  /** Aborts when the coordinator stops; its reason ends the streams. */
  readonly stopping: AbortSignal;
}

export function renderFarmService(options: RenderFarmOptions): RenderFarmServer {
  const { farm, store, uploadFolder, stopping } = options;
  const outlook = createOutlook(farm);
  const context = { ...options, outlook };
  return {
    ...batchVerbs(context),
    ...workerVerbs(farm),
    submitBatch: unary<SubmitBatchRequest, SubmitBatchResponse>((request) =>
      submitBatch(request, context),
    ),
    getBatch: unary<GetBatchRequest, GetBatchResponse>((request) => getBatch(request, context)),
    listBatches: unary<ListBatchesRequest, ListBatchesResponse>((request) =>
      farm.query((now) => listBatches(now, request, outlook)),
    ),
    watchBatch: serverStream<WatchBatchRequest, WatchBatchResponse>((request, send, { signal }) =>
      watchBatch({ ...context, request, send, signal: AbortSignal.any([signal, stopping]) }),
    ),
    getFarm: unary(() => farm.query((now) => farmSummary(now, context))),
    uploadBlob: clientStream<UploadBlobRequest, UploadBlobResponse>((chunks) =>
      uploadBlob(chunks, store, uploadFolder),
    ),
    downloadArtifact: serverStream<DownloadArtifactRequest, DownloadArtifactResponse>(
      ({ key }, send) => downloadArtifact(key, farm, store, send),
    ),
    getArtifactLink: unary((request) => artifactLink(request, farm, store)),
  };
}
