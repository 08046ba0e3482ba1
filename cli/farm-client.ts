// A coordinator as the commands see it: calls over gRPC as promises, with errors that say what to
// do when nobody answers.
import { once } from "node:events";
import { backoffMs } from "../common/backoff.js";
import { monotonicClock, sleep } from "../common/clock.js";
import { FarmError } from "../common/errors.js";
import { callUnary, readStream, toFarmError } from "../common/rpc.js";
import type {
  Batch,
  Clip,
  ClipRange,
  GetArtifactLinkResponse,
  GetFarmResponse,
  QueuePlace,
  RenderFarmClient,
  SubmitBatchRequest,
  UploadBlobRequest,
  WatchBatchResponse,
  Worker,
} from "../proto/gen/tocafarm/v1/farm.js";
import { type ChannelOptions, CoordinatorChannel } from "./coordinator-channel.js";

// A coordinator that starts again, or a standby that takes over, needs seconds; this is patience.
const awayMsMax = 60_000;
const retryBackoff = { baseMs: 200, maxMs: 5_000 };
const clipPageSize = 1_000;

/** What can be done to some clips of a batch. */
export type ClipVerb = "retry" | "skip" | "promote" | "approve" | "reject";

export interface ChangedBatch {
  readonly batch: Batch;
  readonly clipsChanged: number;
}

export class FarmClient {
  readonly #channel: CoordinatorChannel;

  constructor(addresses: ChannelOptions["addresses"], onAway?: ChannelOptions["onAway"]) {
    this.#channel = new CoordinatorChannel({ addresses, onAway });
  }

  close(): void {
    this.#channel.close();
  }

  /** Needs an idempotency key, since it may be sent again. */
  async submit(request: SubmitBatchRequest, signal?: AbortSignal): Promise<Batch> {
    const { batch } = await this.#channel.call(
      (client) => callUnary(client.submitBatch.bind(client), request, settings(signal)),
      signal,
    );
    return required(batch);
  }

  /** Newest first, at most `count`. */
  async list(count: number, signal?: AbortSignal): Promise<readonly Batch[]> {
    const found: Batch[] = [];
    let pageToken = "";
    do {
      const request = { pageSize: Math.min(count - found.length, clipPageSize), pageToken };
      const page = await this.#channel.call(
        (client) => callUnary(client.listBatches.bind(client), request, settings(signal)),
        signal,
      );
      found.push(...page.batches);
      pageToken = page.nextPageToken;
    } while (pageToken !== "" && found.length < count);
    return found;
  }

  /** A batch with all its clips. */
  async get(batchId: string, signal?: AbortSignal): Promise<BatchWithClips> {
    const clips: Clip[] = [];
    let clipPageToken = "";
    let batch: Batch | undefined;
    do {
      const request = { batchId, clipPageSize, clipPageToken };
      const page = await this.#channel.call(
        (client) => callUnary(client.getBatch.bind(client), request, settings(signal)),
        signal,
      );
      batch = page.batch;
      clips.push(...page.clips);
      clipPageToken = page.nextClipPageToken;
    } while (clipPageToken !== "");
    return { batch: required(batch), clips };
  }

  /** One clip by its place in the batch. Throws NOT_FOUND. */
  async clip(batchId: string, index: number): Promise<Clip> {
    const request = { batchId, clipPageSize: 1, clipPageToken: `${index}` };
    const { clips } = await this.#channel.call((client) =>
      callUnary(client.getBatch.bind(client), request),
    );
    const [clip] = clips;
    if (clip) return clip;
    throw new FarmError("NOT_FOUND", `batch ${batchId} has no clip ${index}; show lists those`);
  }

  cancel(batchId: string, signal?: AbortSignal): Promise<Batch> {
    return this.#batch(
      (client) => callUnary(client.cancelBatch.bind(client), { batchId }, settings(signal)),
      signal,
    );
  }

  pause(batchId: string, cutRunning: boolean): Promise<Batch> {
    return this.#batch((client) =>
      callUnary(client.pauseBatch.bind(client), { batchId, cutRunning }),
    );
  }

  resume(batchId: string): Promise<Batch> {
    return this.#batch((client) => callUnary(client.resumeBatch.bind(client), { batchId }));
  }

  setPriority(batchId: string, priority: number): Promise<Batch> {
    return this.#batch((client) =>
      callUnary(client.setPriority.bind(client), { batchId, priority }),
    );
  }

  move(batchId: string, place: QueuePlace): Promise<Batch> {
    return this.#batch((client) => callUnary(client.moveBatch.bind(client), { batchId, place }));
  }

  /** No ranges mean every clip that the verb can change, where it allows that. */
  async changeClips(
    verb: ClipVerb,
    batchId: string,
    clips: readonly ClipRange[],
  ): Promise<ChangedBatch> {
    const request = { batchId, clips: [...clips] };
    const { batch, clipsChanged } = await this.#channel.call((client) => {
      const method = {
        retry: client.retryClips,
        skip: client.skipClips,
        promote: client.promoteClips,
        approve: client.approveClips,
        reject: client.rejectClips,
      }[verb];
      return callUnary(method.bind(client), request);
    });
    return { batch: required(batch), clipsChanged };
  }

  async workers(signal?: AbortSignal): Promise<readonly Worker[]> {
    const { workers } = await this.#channel.call(
      (client) => callUnary(client.listWorkers.bind(client), {}, settings(signal)),
      signal,
    );
    return workers;
  }

  async drain(workerId: string, undo: boolean): Promise<Worker> {
    const { worker } = await this.#channel.call((client) =>
      callUnary(client.drainWorker.bind(client), { workerId, undo }),
    );
    return required(worker);
  }

  async release(workerId: string, device: string): Promise<Worker> {
    const { worker } = await this.#channel.call((client) =>
      callUnary(client.releaseDevice.bind(client), { workerId, device }),
    );
    return required(worker);
  }

  farm(): Promise<GetFarmResponse> {
    return this.#channel.call((client) => callUnary(client.getFarm.bind(client), {}));
  }

  link(key: string, validSeconds: number): Promise<GetArtifactLinkResponse> {
    const request = { key, validSeconds };
    return this.#channel.call((client) => callUnary(client.getArtifactLink.bind(client), request));
  }

  /**
   * All that happens to a batch, until it has ended. A coordinator that goes away is waited for,
   * and the watch goes on where it was, with another one if need be; UNAVAILABLE after a minute
   * without one.
   */
  async *watch(batchId: string, signal?: AbortSignal): AsyncGenerator<WatchBatchResponse> {
    let afterSequence = 0n;
    let failures = 0;
    let heardMs = monotonicClock.now();
    for (;;) {
      try {
        const call = this.#channel.client.watchBatch({ batchId, afterSequence });
        for await (const message of readStream(call, signal)) {
          // A part of many changes has none: until all came, the one before is where to go on.
          if (message.sequence > 0n) afterSequence = message.sequence;
          failures = 0;
          heardMs = monotonicClock.now();
          yield message;
        }
        return;
      } catch (thrown) {
        signal?.throwIfAborted();
        const error = toFarmError(thrown);
        if (error.code !== "UNAVAILABLE") throw error;
        if (failures++ === 0) heardMs = monotonicClock.now();
        if (monotonicClock.now() - heardMs > awayMsMax) throw this.#channel.explained(error);
        this.#channel.turn();
        await sleep(backoffMs(failures, Math.random(), retryBackoff), signal);
      }
    }
  }

  /** The content of an artifact, in chunks, given to `read`, which begins anew where it broke. */
  download(
    key: string,
    read: (chunks: AsyncIterable<Uint8Array>) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#channel.call(
      (client) => read(chunksOf(client.downloadArtifact({ key }), signal)),
      signal,
    );
  }

  /** Stores bytes, in chunks of at most 256 KiB, under their digest; resolves to the key. */
  async upload(chunks: AsyncIterable<Uint8Array>): Promise<string> {
    const { client } = this.#channel;
    const stored = new Promise<string>((resolve, reject) => {
      const call = client.uploadBlob((error, response) => {
        if (error) reject(toFarmError(error));
        else resolve(required(response.artifact).key);
      });
      sendChunks(call, chunks).catch((error: unknown) => {
        reject(error);
        call.cancel();
      });
    });
    try {
      return await stored;
    } catch (thrown) {
      const error = toFarmError(thrown);
      throw error.code === "UNAVAILABLE" ? this.#channel.explained(error) : error;
    }
  }

  async #batch(
    work: (client: RenderFarmClient) => Promise<{ readonly batch: Batch | undefined }>,
    signal?: AbortSignal,
  ): Promise<Batch> {
    const { batch } = await this.#channel.call(work, signal);
    return required(batch);
  }
}

export interface BatchWithClips {
  readonly batch: Batch;
  readonly clips: readonly Clip[];
}

interface BlobCall {
  write(message: UploadBlobRequest): boolean;
  end(): unknown;
  once(event: "drain", listener: () => void): unknown;
}

async function sendChunks(
  call: BlobCall & NodeJS.EventEmitter,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  for await (const chunk of chunks) {
    if (!call.write({ chunk: Buffer.from(chunk) })) await once(call, "drain");
  }
  call.end();
}

async function* chunksOf(
  call: Parameters<typeof readStream<{ readonly chunk: Uint8Array }>>[0],
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const { chunk } of readStream(call, signal)) yield chunk;
}

function settings(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** proto3 makes every message field optional; these the service always sets. */
function required<T>(field: T | undefined): T {
  if (field !== undefined) return field;
  throw new FarmError("INTERNAL", "the coordinator's answer lacks a field: are versions mixed?");
}
