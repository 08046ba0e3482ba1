// One bucket of an S3 server: the client, and requests that end. Each has a few tries with growing
// waits between them and a time limit for each try, so that a server which is slow, overloaded or
// gone costs minutes at most, and says so.
import { S3Client } from "@aws-sdk/client-s3";
import { backoffMs } from "../common/backoff.js";
import { sleep } from "../common/clock.js";
import type { S3Location } from "./location.js";
import { isTransient, NoAnswer, s3Error } from "./s3-errors.js";

/** How long a store waits for its server. */
export interface Patience {
  /** To a connection. */
  readonly connectMs: number;
  /** To the answer of a request without content, and between two pieces of an answer. */
  readonly answerMs: number;
  /** A request with content gets the time that it takes at this rate in addition. */
  readonly bytesPerSecondMin: number;
  readonly triesMax: number;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
}

// A silent server is given up after a minute; a slow line may take half a minute for a part.
export const defaultPatience: Patience = {
  connectMs: 5_000,
  answerMs: 15_000,
  bytesPerSecondMin: 256 * 1024,
  triesMax: 4,
  backoff: { baseMs: 250, maxMs: 5_000 },
};

/** Connections at a time, over all clips that are stored or fetched; more wait for their turn. */
const connectionsMax = 64;

export interface CallOptions {
  /** For the error: a key, or "" for the bucket as such. */
  readonly key: string;
  /** How much content goes with the request. */
  readonly bytes?: number;
  readonly signal?: AbortSignal;
}

type Send<T> = (options: { readonly abortSignal: AbortSignal }) => Promise<T>;

export class S3Bucket {
  readonly client: S3Client;
  readonly location: S3Location;
  readonly patience: Patience;

  constructor(location: S3Location, patience: Patience) {
    this.location = location;
    this.patience = patience;
    // Told once a process otherwise; which version runs on which Node is decided in package.json.
    process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
    const { endpoint, region } = location;
    this.client = new S3Client({
      ...(endpoint === undefined ? {} : { endpoint, region: region ?? regionOfOwnServer() }),
      ...(endpoint === undefined && region !== undefined ? { region } : {}),
      forcePathStyle: location.pathStyle,
      maxAttempts: 1, // tries are counted here
      requestHandler: {
        connectionTimeout: patience.connectMs,
        httpAgent: { keepAlive: true, maxSockets: connectionsMax },
        httpsAgent: { keepAlive: true, maxSockets: connectionsMax },
      },
      // A proxy that does not know the header would hold every part up for seconds.
      expectContinueHeader: false,
      // The digests are SHA-256 and ours; the client would add others of its own choice.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
  }

  /** The name under which the server knows the key of an artifact. */
  objectKey(key: string): string {
    return this.location.prefix + key;
  }

  /** Bucket and object, as requests name them. */
  object(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.location.bucket, Key: this.objectKey(key) };
  }

  /** For messages. */
  place(key: string): string {
    return `s3://${this.location.bucket}/${this.objectKey(key)}`;
  }

  /**
   * The answer of one request, tried again while that can help. Throws what the server said last,
   * as it came, or the signal's reason.
   */
  async tried<T>(send: Send<T>, { bytes = 0, signal }: Omit<CallOptions, "key">): Promise<T> {
    const { answerMs, bytesPerSecondMin, triesMax, backoff } = this.patience;
    const limitMs = answerMs + (1000 * bytes) / bytesPerSecondMin;
    for (let tries = 1; ; tries += 1) {
      try {
        return await withinLimit(send, limitMs, signal);
      } catch (error) {
        signal?.throwIfAborted();
        if (!isTransient(error) || tries === triesMax) throw error;
      }
      await sleep(backoffMs(tries, Math.random(), backoff), signal);
    }
  }

  /** As `tried`, and throws IO with place and remedy. */
  async call<T>(send: Send<T>, options: CallOptions): Promise<T> {
    try {
      return await this.tried(send, options);
    } catch (error) {
      throw s3Error(this.place(options.key), error);
    }
  }
}

/** Own servers mostly do not care, but a signature needs one. */
function regionOfOwnServer(): string {
  return process.env["AWS_REGION"] || process.env["AWS_DEFAULT_REGION"] || "us-east-1";
}

/**
 * Also ends when what is being waited for knows no signal, such as a command that gives
 * credentials.
 */
async function withinLimit<T>(
  send: Send<T>,
  limitMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => {
    limit.abort(new NoAnswer(`there was no answer within ${Math.round(limitMs)} ms`));
  }, limitMs);
  const abortSignal = signal ? AbortSignal.any([limit.signal, signal]) : limit.signal;
  const ended = new Promise<never>((_resolve, reject) => {
    abortSignal.addEventListener("abort", () => reject(abortSignal.reason), { once: true });
  });
  try {
    signal?.throwIfAborted();
    return await Promise.race([send({ abortSignal }), ended]);
  } finally {
    clearTimeout(timer);
  }
}
