// How a content comes out of a bucket: as a stream that is taken up again where a connection broke,
// and is compared at its end with the digest of what was stored.
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
} from "@aws-sdk/client-s3";
import { backoffMs } from "../common/backoff.js";
import { sleep } from "../common/clock.js";
import { FarmError } from "../common/errors.js";
import { CompositeSha256 } from "./composite-sha256.js";
import type { S3Bucket } from "./s3-client.js";
import { isNamed, isTransient, NoAnswer, s3Error } from "./s3-errors.js";
import { metadataNames } from "./s3-upload.js";

// As the port promises; it fits a gRPC message.
const chunkBytesMax = 256 * 1024;

/** The content in chunks; throws NOT_FOUND, or IO with what is wrong. */
export async function* download(bucket: S3Bucket, key: string): AsyncGenerator<Uint8Array> {
  const { triesMax, backoff } = bucket.patience;
  let object = await openObject(bucket, key, undefined);
  const check = checkFor(bucket, key, object);
  let offset = 0;
  for (let failures = 0; ; ) {
    const offsetBefore = offset;
    try {
      for await (const chunk of chunksOf(object.body, bucket.patience.answerMs)) {
        check.update(chunk);
        offset += chunk.byteLength;
        yield chunk;
      }
      if (offset === object.sizeBytes) break;
      throw new NoAnswer(`the content ended after ${offset} of ${object.sizeBytes} bytes`);
    } catch (error) {
      failures = offset > offsetBefore ? 1 : failures + 1;
      if (!isTransient(error) || failures === triesMax) throw s3Error(bucket.place(key), error);
    }
    if (offset === object.sizeBytes) break; // only the end of the connection was unclean
    await sleep(backoffMs(failures, Math.random(), backoff));
    object = await openObject(bucket, key, { object, offset });
  }
  await check.end();
}

interface OpenObject {
  readonly body: Readable;
  /** Of the whole object. */
  readonly sizeBytes: number;
  readonly etag: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Where a stream broke, and of which object. */
interface Broken {
  readonly object: OpenObject;
  readonly offset: number;
}

async function openObject(
  bucket: S3Bucket,
  key: string,
  broken: Broken | undefined,
): Promise<OpenObject> {
  const range = broken && {
    Range: `bytes=${broken.offset}-`,
    ...(broken.object.etag === undefined ? {} : { IfMatch: broken.object.etag }),
  };
  const command = new GetObjectCommand({ ...bucket.object(key), ...range });
  let answer: GetObjectCommandOutput;
  try {
    answer = await bucket.tried((options) => bucket.client.send(command, options), {});
  } catch (error) {
    throw openError(bucket, key, broken, error);
  }
  const { Body: body, ContentLength, ContentRange = "", ETag: etag, Metadata = {} } = answer;
  if (!(body instanceof Readable) || ContentLength === undefined) {
    throw failed(bucket, key, "the server gives no length: it is no S3 server as we know them");
  }
  if (broken === undefined) return { body, sizeBytes: ContentLength, etag, metadata: Metadata };
  if (!ContentRange.startsWith(`bytes ${broken.offset}-`)) {
    body.destroy();
    throw failed(bucket, key, "the connection broke, and the server cannot go on from there");
  }
  return { ...broken.object, body };
}

function openError(
  bucket: S3Bucket,
  key: string,
  broken: Broken | undefined,
  error: unknown,
): FarmError {
  const absent = isNamed(error, "NoSuchKey", "NotFound");
  if (broken !== undefined && (absent || isNamed(error, "PreconditionFailed"))) {
    return failed(bucket, key, "it was replaced or removed while it was read: read it again");
  }
  if (absent) return new FarmError("NOT_FOUND", `artifact ${key} is not in ${bucket.place("")}`);
  return s3Error(bucket.place(key), error);
}

/** Slices of what comes; a silence of `silenceMsMax` while we wait for it is an error. */
async function* chunksOf(body: Readable, silenceMsMax: number): AsyncGenerator<Uint8Array> {
  const iterator: AsyncIterator<Buffer> = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const silence = setTimeout(() => {
        body.destroy(new NoAnswer(`no byte came for ${silenceMsMax} ms`));
      }, silenceMsMax);
      const next = await iterator.next().finally(() => clearTimeout(silence));
      if (next.done) return;
      for (let from = 0; from < next.value.byteLength; from += chunkBytesMax) {
        yield next.value.subarray(from, from + chunkBytesMax);
      }
    }
  } finally {
    body.destroy();
  }
}

interface Check {
  update(chunk: Uint8Array): void;
  /** Throws IO when what came is not what was stored. */
  end(): Promise<void>;
}

/** By the whole's digest where it was known at the upload, else by that of the parts. */
function checkFor(bucket: S3Bucket, key: string, { metadata }: OpenObject): Check {
  const expected = metadata[metadataNames.sha256];
  if (expected !== undefined) {
    const whole = createHash("sha256");
    const end = async () => compare(bucket, key, whole.digest("hex"), expected);
    return { update: (chunk) => whole.update(chunk), end };
  }
  const partBytes = Number(metadata[metadataNames.partBytes]);
  if (!(partBytes > 0)) return { update: () => {}, end: async () => {} }; // put there by others
  const composite = new CompositeSha256(partBytes);
  return {
    update: (chunk) => composite.update(chunk),
    end: async () => {
      const stored = await storedChecksum(bucket, key);
      // A server that keeps no checksums has checked the parts' digests with their signatures.
      if (stored !== undefined) compare(bucket, key, composite.digest(), stored);
    },
  };
}

async function storedChecksum(bucket: S3Bucket, key: string): Promise<string | undefined> {
  const command = new HeadObjectCommand({ ...bucket.object(key), ChecksumMode: "ENABLED" });
  const head = await bucket.call((options) => bucket.client.send(command, options), { key });
  return head.ChecksumSHA256;
}

function compare(bucket: S3Bucket, key: string, found: string, expected: string): void {
  if (found === expected) return;
  throw failed(bucket, key, `what came has the SHA-256 ${found}, not ${expected}: read it again`);
}

function failed(bucket: S3Bucket, key: string, what: string): FarmError {
  return new FarmError("IO", `${bucket.place(key)}: ${what}`);
}
