// How a content gets into a bucket: in one request when it is short, in parts when it is not, each
// with its SHA-256, which the server checks. The key appears with the last request or not at all.
import { createHash } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { FarmError } from "../common/errors.js";
import { compositeSha256 } from "./composite-sha256.js";
import type { Artifact } from "./port.js";
import type { S3Bucket } from "./s3-client.js";
import { isNamed, s3Error } from "./s3-errors.js";

/** Of every part but the last; S3 allows 5 MiB and more. */
export const partBytes = 8 * 1024 * 1024;
/** S3's bound; with it an artifact has at most 78 GiB. */
const partsMax = 10_000;
/** Fills a fast line; with the part being gathered it bounds memory at 48 MiB an upload. */
const partsInFlightMax = 4;

/** Names of the metadata by which a reader checks what it gets. */
export const metadataNames = { sha256: "sha256", partBytes: "part-bytes" } as const;

/**
 * Stores the parts, which come in order and have `partBytes` but for the last. `sha256` is that of
 * the whole where it is known before. Throws IO, or what the source threw; then nothing is left
 * behind.
 */
export async function upload(
  bucket: S3Bucket,
  key: string,
  parts: AsyncIterable<Buffer>,
  sha256?: string,
): Promise<Artifact> {
  const iterator = parts[Symbol.asyncIterator]();
  try {
    const first = await iterator.next();
    const second = first.done ? first : await iterator.next();
    if (second.done) return await uploadWhole(bucket, key, first.value ?? Buffer.alloc(0));
    const metadata = sha256 === undefined ? {} : { [metadataNames.sha256]: sha256 };
    const task = new PartsUpload(bucket, key, metadata);
    return await task.run([first.value, second.value], iterator);
  } finally {
    await iterator.return?.();
  }
}

async function uploadWhole(bucket: S3Bucket, key: string, content: Buffer): Promise<Artifact> {
  const digest = createHash("sha256").update(content).digest();
  const sha256 = digest.toString("hex");
  const command = new PutObjectCommand({
    ...bucket.object(key),
    Body: content,
    ChecksumSHA256: digest.toString("base64"),
    Metadata: { [metadataNames.sha256]: sha256 },
  });
  const sizeBytes = content.byteLength;
  await bucket.call((options) => bucket.client.send(command, options), { key, bytes: sizeBytes });
  return { key, sha256, sizeBytes };
}

interface StoredPart extends CompletedPart {
  readonly digest: Buffer;
}

/** One upload in parts; `run` is called once. */
class PartsUpload {
  readonly #bucket: S3Bucket;
  readonly #key: string;
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #stopping = new AbortController();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #stored: StoredPart[] = [];
  readonly #whole = createHash("sha256");
  #sizeBytes = 0;
  #count = 0;
  #uploadId = "";

  constructor(bucket: S3Bucket, key: string, metadata: Readonly<Record<string, string>>) {
    this.#bucket = bucket;
    this.#key = key;
    this.#metadata = { ...metadata, [metadataNames.partBytes]: `${partBytes}` };
  }

  async run(first: readonly Buffer[], rest: AsyncIterator<Buffer>): Promise<Artifact> {
    await this.#create();
    try {
      for (const part of first) await this.#add(part);
      for (let next = await rest.next(); !next.done; next = await rest.next()) {
        await this.#add(next.value);
      }
      await Promise.all(this.#inFlight);
      const sha256 = this.#whole.digest("hex");
      const told = this.#metadata[metadataNames.sha256] ?? sha256;
      if (told !== sha256) throw this.#error("the file changed while it was stored: try again");
      await this.#complete();
      return { key: this.#key, sha256, sizeBytes: this.#sizeBytes };
    } catch (error) {
      this.#stopping.abort(error);
      await Promise.allSettled(this.#inFlight); // a part that arrives later would stay
      await this.#abort();
      throw error;
    }
  }

  async #create(): Promise<void> {
    const command = new CreateMultipartUploadCommand({
      ...this.#bucket.object(this.#key),
      ChecksumAlgorithm: "SHA256",
      Metadata: this.#metadata,
    });
    const { UploadId } = await this.#call((options) => this.#bucket.client.send(command, options));
    if (UploadId === undefined) throw this.#error("the server began an upload without naming it");
    this.#uploadId = UploadId;
  }

  /** Resolves when there is room for another part; throws what became of an earlier one. */
  async #add(part: Buffer): Promise<void> {
    if (this.#inFlight.size === partsInFlightMax) await Promise.race(this.#inFlight);
    if (this.#count === partsMax) {
      throw this.#error(`it has more than ${partsMax * partBytes} bytes: store it in pieces`);
    }
    this.#count += 1;
    this.#sizeBytes += part.byteLength;
    this.#whole.update(part);
    const storing = this.#store(part, this.#count).then(() => {
      this.#inFlight.delete(storing);
    });
    storing.catch(() => {}); // told by whoever waits for the set
    this.#inFlight.add(storing);
  }

  async #store(part: Buffer, number: number): Promise<void> {
    const digest = createHash("sha256").update(part).digest();
    const ChecksumSHA256 = digest.toString("base64");
    const command = new UploadPartCommand({
      ...this.#bucket.object(this.#key),
      UploadId: this.#uploadId,
      PartNumber: number,
      Body: part,
      ChecksumSHA256,
    });
    const { ETag } = await this.#call((options) => this.#bucket.client.send(command, options), {
      bytes: part.byteLength,
      signal: this.#stopping.signal,
    });
    const completed = { PartNumber: number, ChecksumSHA256, digest };
    this.#stored[number - 1] = ETag === undefined ? completed : { ...completed, ETag };
  }

  async #complete(): Promise<void> {
    const composite = compositeSha256(this.#stored.map(({ digest }) => digest));
    const Parts = this.#stored.map(({ digest: _, ...part }) => part);
    const command = new CompleteMultipartUploadCommand({
      ...this.#bucket.object(this.#key),
      UploadId: this.#uploadId,
      MultipartUpload: { Parts },
    });
    const answer = await this.#bucket
      .tried((options) => this.#bucket.client.send(command, options), {})
      .catch((error: unknown) => this.#afterAll(composite, error));
    const { ChecksumSHA256 } = answer;
    if (ChecksumSHA256 !== undefined && ChecksumSHA256 !== composite) {
      throw this.#error(`the server holds ${ChecksumSHA256}, not ${composite}: try again`);
    }
  }

  /** An upload that the server no longer knows was completed by a try whose answer was lost. */
  async #afterAll(composite: string, error: unknown): Promise<{ readonly ChecksumSHA256: string }> {
    if (isNamed(error, "NoSuchUpload")) {
      const command = new HeadObjectCommand({
        ...this.#bucket.object(this.#key),
        ChecksumMode: "ENABLED",
      });
      const head = await this.#call((options) => this.#bucket.client.send(command, options));
      if (head.ChecksumSHA256 === composite) return { ChecksumSHA256: composite };
    }
    throw s3Error(this.#bucket.place(this.#key), error);
  }

  /** When the server cannot even be told, sweepParts or the bucket's own rules take the parts. */
  async #abort(): Promise<void> {
    const command = new AbortMultipartUploadCommand({
      ...this.#bucket.object(this.#key),
      UploadId: this.#uploadId,
    });
    await this.#call((options) => this.#bucket.client.send(command, options)).catch(() => {});
  }

  #call<T>(
    send: (options: { readonly abortSignal: AbortSignal }) => Promise<T>,
    options: { readonly bytes?: number; readonly signal?: AbortSignal } = {},
  ): Promise<T> {
    return this.#bucket.call(send, { key: this.#key, ...options });
  }

  #error(what: string): FarmError {
    return new FarmError("IO", `${this.#bucket.place(this.#key)}: ${what}`);
  }
}
