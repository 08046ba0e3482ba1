// A coordinator as the commands see it: calls over gRPC as promises, with errors that say what to
// do when nobody answers.
import { once } from "node:events";
import { backoffMs } from "../common/backoff.js";
import { monotonicClock, sleep } from "../common/clock.js";
import { FarmError } from "../common/errors.js";
import { callUnary, createClient, readStream, toFarmError } from "../common/rpc.js";
import {
  type Batch,
  type Clip,
  RenderFarmClient,
  type SubmitBatchRequest,
  type UploadBlobRequest,
  type WatchBatchResponse,
  type Worker,
} from "../proto/gen/tocafarm/v1/farm.js";

// A coordinator that starts again, or a standby that takes over, needs seconds; this is patience.
const awayMsMax = 60_000;
const retryBackoff = { baseMs: 200, maxMs: 5_000 };
const clipPageSize = 1_000;

export class FarmClient {
  readonly address: string;
  readonly #client: RenderFarmClient;

  constructor(address: string) {
    this.address = address;
    this.#client = createClient(RenderFarmClient, address);
  }

  close(): void {
    this.#client.close();
  }

  async submit(request: SubmitBatchRequest, signal?: AbortSignal): Promise<Batch> {
    const method = this.#client.submitBatch.bind(this.#client);
    const { batch } = await this.#explained(callUnary(method, request, settings(signal)));
    return required(batch);
  }

  /** Newest first, at most `count`. */
  async list(count: number, signal?: AbortSignal): Promise<readonly Batch[]> {
    const method = this.#client.listBatches.bind(this.#client);
    const found: Batch[] = [];
    let pageToken = "";
    do {
      const pageSize = Math.min(count - found.length, clipPageSize);
      const page = await this.#explained(
        callUnary(method, { pageSize, pageToken }, settings(signal)),
      );
      found.push(...page.batches);
      pageToken = page.nextPageToken;
    } while (pageToken !== "" && found.length < count);
    return found;
  }

  /** A batch with all its clips. */
  async get(batchId: string, signal?: AbortSignal): Promise<BatchWithClips> {
    const method = this.#client.getBatch.bind(this.#client);
    const clips: Clip[] = [];
    let clipPageToken = "";
    let batch: Batch | undefined;
    do {
      const page = await this.#explained(
        callUnary(method, { batchId, clipPageSize, clipPageToken }, settings(signal)),
      );
      batch = page.batch;
      clips.push(...page.clips);
      clipPageToken = page.nextClipPageToken;
    } while (clipPageToken !== "");
    return { batch: required(batch), clips };
  }

  async cancel(batchId: string): Promise<Batch> {
    const method = this.#client.cancelBatch.bind(this.#client);
    const { batch } = await this.#explained(callUnary(method, { batchId }));
    return required(batch);
  }

  async workers(signal?: AbortSignal): Promise<readonly Worker[]> {
    const method = this.#client.listWorkers.bind(this.#client);
    const { workers } = await this.#explained(callUnary(method, {}, settings(signal)));
    return workers;
  }

  /**
   * All that happens to a batch, until it has ended. A coordinator that goes away is waited for,
   * and the watch goes on where it was; UNAVAILABLE after a minute without one.
   */
  async *watch(batchId: string, signal?: AbortSignal): AsyncGenerator<WatchBatchResponse> {
    let afterSequence = 0n;
    let failures = 0;
    let heardMs = monotonicClock.now();
    for (;;) {
      try {
        const call = this.#client.watchBatch({ batchId, afterSequence });
        for await (const message of readStream(call, signal)) {
          afterSequence = message.sequence;
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
        if (monotonicClock.now() - heardMs > awayMsMax) throw this.#unavailable(error);
        await sleep(backoffMs(failures, Math.random(), retryBackoff), signal);
      }
    }
  }

  /** The content of an artifact, in chunks. */
  async *download(key: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const call = this.#client.downloadArtifact({ key });
    for await (const { chunk } of readStream(call, signal)) yield chunk;
  }

  /** Stores bytes, in chunks of at most 256 KiB, under their digest; resolves to the key. */
  upload(chunks: AsyncIterable<Uint8Array>): Promise<string> {
    const stored = new Promise<string>((resolve, reject) => {
      const call = this.#client.uploadBlob((error, response) => {
        if (error) reject(toFarmError(error));
        else resolve(required(response.artifact).key);
      });
      sendChunks(call, chunks).catch((error: unknown) => {
        reject(error);
        call.cancel();
      });
    });
    return this.#explained(stored);
  }

  async #explained<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (thrown) {
      const error = toFarmError(thrown);
      throw error.code === "UNAVAILABLE" ? this.#unavailable(error) : error;
    }
  }

  #unavailable(cause: FarmError): FarmError {
    // gRPC wraps the system's words into its own.
    const reason = /connect [A-Z]+ \S+?(?=\.?(?:\s|$))/.exec(cause.message)?.[0] ?? cause.message;
    return new FarmError(
      "UNAVAILABLE",
      `no coordinator answers at ${this.address} (${reason}): ` +
        'start one with "tocafarm up", or name another with --coordinator HOST:PORT',
      { cause },
    );
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

function settings(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** proto3 makes every message field optional; these the service always sets. */
function required<T>(field: T | undefined): T {
  if (field !== undefined) return field;
  throw new FarmError("INTERNAL", "the coordinator's answer lacks a field: are versions mixed?");
}
