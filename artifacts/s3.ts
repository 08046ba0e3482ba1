// The artifact store in a bucket of an S3 server. A key is an object below the location's prefix;
// the server itself makes an object appear whole or not at all.
import { rm } from "node:fs/promises";
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type MultipartUpload,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { FarmError } from "../common/errors.js";
import { ioError } from "./folder-errors.js";
import { digestOf, readChunks } from "./folder-files.js";
import type { S3Location } from "./location.js";
import { partsOf } from "./parts.js";
import {
  type Artifact,
  type ArtifactHead,
  type ArtifactStore,
  checkKey,
  checkPrefix,
  isKey,
  type LinkOptions,
} from "./port.js";
import { defaultPatience, type Patience, S3Bucket } from "./s3-client.js";
import { download } from "./s3-download.js";
import { isNamed, s3Error } from "./s3-errors.js";
import { partBytes, upload } from "./s3-upload.js";

/**
 * Opens the store, once an object could be listed, stored and removed; throws IO with what to do
 * when the server, the bucket or the credentials do not work.
 */
export async function openS3Store(
  location: S3Location,
  patience: Patience = defaultPatience,
): Promise<ArtifactStore> {
  const store = new S3Store(new S3Bucket(location, patience));
  await store.probe();
  return store;
}

/** No key of an artifact, so it is never listed. */
const probeKey = ".tocafarm-probe";
/** A signature is good for a week at most. */
const linkSecondsMax = 7 * 24 * 3600;
const filenamePattern = /^[A-Za-z0-9_-][A-Za-z0-9._ -]{0,199}$/;
/** What a browser shows by itself. */
const contentTypes: Readonly<Record<string, string>> = {
  json: "application/json",
  mp4: "video/mp4",
  png: "image/png",
};

type Send<T> = (options: { readonly abortSignal: AbortSignal }) => Promise<T>;

class S3Store implements ArtifactStore {
  readonly #bucket: S3Bucket;

  constructor(bucket: S3Bucket) {
    this.#bucket = bucket;
  }

  async probe(): Promise<void> {
    const { client, location } = this.#bucket;
    const page = new ListObjectsV2Command({
      Bucket: location.bucket,
      Prefix: location.prefix,
      MaxKeys: 1,
    });
    await this.#call("", (options) => client.send(page, options));
    await this.#put(probeKey, Buffer.from("x"));
    await this.#delete(probeKey);
  }

  async put(key: string, source: Uint8Array | AsyncIterable<Uint8Array>): Promise<Artifact> {
    checkKey(key);
    return this.#put(key, source);
  }

  async putFile(key: string, path: string): Promise<Artifact> {
    checkKey(key);
    const { sha256 } = await onFile(path, digestOf(path));
    const parts = partsOf(fileChunks(path), partBytes);
    const stored = await upload(this.#bucket, key, parts, sha256);
    await onFile(path, rm(path));
    return stored;
  }

  async *get(key: string): AsyncIterable<Uint8Array> {
    checkKey(key);
    yield* download(this.#bucket, key);
  }

  async head(key: string): Promise<ArtifactHead | undefined> {
    checkKey(key);
    const command = new HeadObjectCommand(this.#bucket.object(key));
    try {
      const head = await this.#bucket.tried((o) => this.#bucket.client.send(command, o), {});
      return headOf(key, head.ContentLength, head.LastModified);
    } catch (error) {
      if (isNamed(error, "NotFound", "NoSuchKey")) return undefined;
      throw s3Error(this.#bucket.place(key), error);
    }
  }

  async *list(prefix: string): AsyncIterable<ArtifactHead> {
    checkPrefix(prefix);
    const { client, location } = this.#bucket;
    const Prefix = this.#bucket.objectKey(prefix);
    for (let token: string | undefined, more = true; more; more = token !== undefined) {
      const from = token === undefined ? {} : { ContinuationToken: token };
      const command = new ListObjectsV2Command({ Bucket: location.bucket, Prefix, ...from });
      const page = await this.#call(prefix, (options) => client.send(command, options));
      for (const { Key = "", Size, LastModified } of page.Contents ?? []) {
        const key = Key.slice(location.prefix.length);
        if (isKey(key)) yield headOf(key, Size, LastModified);
      }
      token = page.NextContinuationToken;
    }
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    await this.#delete(key);
  }

  async sweepParts(ageMs: number): Promise<number> {
    const endMs = Date.now() - ageMs;
    let removed = 0;
    for await (const { Key, UploadId, Initiated } of this.#unfinished()) {
      if (Initiated === undefined || Initiated.getTime() >= endMs) continue;
      const command = new AbortMultipartUploadCommand({
        Bucket: this.#bucket.location.bucket,
        Key,
        UploadId,
      });
      try {
        await this.#bucket.tried((o) => this.#bucket.client.send(command, o), {});
        removed += 1;
      } catch (error) {
        if (!isNamed(error, "NoSuchUpload")) throw s3Error(this.#bucket.place(""), error);
      }
    }
    return removed;
  }

  async link(key: string, { seconds, filename }: LinkOptions): Promise<string> {
    checkKey(key);
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > linkSecondsMax) {
      throw invalid(`a link for ${seconds} seconds: 1 to ${linkSecondsMax} are possible`);
    }
    if (filename !== undefined && !filenamePattern.test(filename)) {
      const name = JSON.stringify(filename.slice(0, 80));
      throw invalid(`a link that saves as ${name}: up to 200 letters, digits, ". _ -" and spaces`);
    }
    const type = contentTypes[key.slice(key.lastIndexOf(".") + 1)];
    const command = new GetObjectCommand({
      ...this.#bucket.object(key),
      ...(type === undefined ? {} : { ResponseContentType: type }),
      ...(filename === undefined
        ? {}
        : { ResponseContentDisposition: `attachment; filename="${filename}"` }),
    });
    const { client } = this.#bucket;
    return this.#call(key, () => getSignedUrl(client, command, { expiresIn: seconds }));
  }

  async #put(key: string, source: Uint8Array | AsyncIterable<Uint8Array>): Promise<Artifact> {
    try {
      return await upload(this.#bucket, key, partsOf(source, partBytes));
    } catch (error) {
      throw s3Error(this.#bucket.place(key), error);
    }
  }

  async #delete(key: string): Promise<void> {
    const command = new DeleteObjectCommand(this.#bucket.object(key));
    await this.#call(key, (options) => this.#bucket.client.send(command, options));
  }

  /** Uploads in parts that were begun and neither ended nor aborted. */
  async *#unfinished(): AsyncGenerator<MultipartUpload> {
    const { client, location } = this.#bucket;
    const where = { Bucket: location.bucket, Prefix: location.prefix };
    let from = {};
    for (let more = true; more; ) {
      const command = new ListMultipartUploadsCommand({ ...where, ...from });
      const page = await this.#call("", (options) => client.send(command, options));
      yield* page.Uploads ?? [];
      from = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
      more = page.IsTruncated === true;
    }
  }

  #call<T>(key: string, send: Send<T>): Promise<T> {
    return this.#bucket.call(send, { key });
  }
}

/** What the server does not date counts as new, so that nobody takes it for an orphan. */
function headOf(key: string, sizeBytes = 0, modified = new Date()): ArtifactHead {
  return { key, sizeBytes, modifiedAtMs: modified.getTime() };
}

/** The work's result, its errors as those of a local file. */
async function onFile<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw ioError(path, error);
  }
}

async function* fileChunks(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* readChunks(path);
  } catch (error) {
    throw ioError(path, error);
  }
}

function invalid(what: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", what);
}
