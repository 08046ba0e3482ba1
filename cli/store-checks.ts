// Whether an artifact store does what a farm needs of it: opened and used as the farm does, then,
// by its kind, what lies below.
import { createHash, randomBytes } from "node:crypto";
import { parseLocation, type StoreLocation } from "../artifacts/location.js";
import { openStore } from "../artifacts/open.js";
import type { ArtifactStore } from "../artifacts/port.js";
import { checked, type Finding, missing, note, ok } from "./findings.js";
import { folderFindings } from "./folder-checks.js";
import { bytes } from "./table.js";

/** More than one part of an upload in parts. */
const partsBytes = 20 * 1024 ** 2;
const linkSeconds = 60;
const fetchMsMax = 15_000;
/** Servers refuse a signature from a clock that is a quarter of an hour off. */
const clockMsMax = 60_000;
/** No upload is that old: the sweep lists and removes nothing. */
const tooOldMs = Number.MAX_SAFE_INTEGER;

export interface StoreChecks {
  /** A folder or s3:// location. */
  readonly artifacts: string;
  /** Starts the other side for a folder, on another machine. */
  readonly peer: string | undefined;
}

/** Every check of the store, in the order in which things are needed. */
export async function storeFindings({ artifacts, peer }: StoreChecks): Promise<readonly Finding[]> {
  const location = parseLocation(artifacts);
  const found: Finding[] = [];
  const prefix = `doctor/${randomBytes(6).toString("hex")}`;
  await openStore(artifacts).then(
    async (store) => {
      found.push(ok("artifact store", nameOf(location)));
      found.push(await checked("store and fetch", () => storeAndFetch(store, `${prefix}/a`)));
      if (location.kind === "folder") found.push(...(await folderFindings(location.folder, peer)));
      else found.push(...(await bucketFindings(store, `${prefix}/b`)));
    },
    async (error: unknown) => {
      found.push(await checked("artifact store", () => Promise.reject(error)));
    },
  );
  return found;
}

function nameOf(location: StoreLocation): string {
  if (location.kind === "folder") return `folder ${location.folder}`;
  const at = location.endpoint === undefined ? "" : ` at ${location.endpoint}`;
  return `s3://${location.bucket}/${location.prefix}${at}`;
}

async function storeAndFetch(store: ArtifactStore, key: string): Promise<Finding> {
  const content = randomBytes(100_000);
  const beganMs = performance.now();
  try {
    await store.put(key, content);
    const faults = [
      (await digestOf(store.get(key))) === sha256(content) ? "" : "another content comes back",
      (await store.head(key))?.sizeBytes === content.length ? "" : "the size is wrong",
      (await lists(store, key)) ? "" : "it is not listed",
    ].filter((fault) => fault !== "");
    if (faults.length > 0) {
      return missing("store and fetch", faults.join(", "), "this store cannot be used");
    }
  } finally {
    await store.delete(key);
  }
  if ((await store.head(key)) !== undefined) {
    return missing("store and fetch", "what was deleted is still there", "use another store");
  }
  const tookMs = performance.now() - beganMs;
  return ok("store and fetch", `put, get, head, list, delete in ${tookMs.toFixed(0)} ms`);
}

async function bucketFindings(store: ArtifactStore, key: string): Promise<readonly Finding[]> {
  try {
    return [
      await checked("upload in parts", () => uploadInParts(store, key)),
      await checked("links", () => links(store, key)),
      await checked("clocks", () => clocks(store, key)),
      await unfinishedUploads(store),
    ];
  } finally {
    await store.delete(key);
  }
}

async function uploadInParts(store: ArtifactStore, key: string): Promise<Finding> {
  const content = Buffer.alloc(partsBytes, randomBytes(999));
  const beganMs = performance.now();
  await store.put(key, content);
  const uploadedMs = performance.now();
  const digest = await digestOf(store.get(key));
  const downloadedMs = performance.now();
  if (digest !== sha256(content)) {
    return missing("upload in parts", "another content comes back", "this store cannot be used");
  }
  const rate = (ms: number) => `${bytes((1000 * partsBytes) / ms)}/s`;
  const found = `${rate(uploadedMs - beganMs)} up, ${rate(downloadedMs - uploadedMs)} down`;
  return ok("upload in parts", found);
}

async function links(store: ArtifactStore, key: string): Promise<Finding> {
  const content = randomBytes(1000);
  await store.put(key, content);
  const answer = await fetchLink(store, key);
  const body = Buffer.from(await answer.arrayBuffer());
  if (answer.status === 200 && body.equals(content)) return ok("links", "can be read by anybody");
  const found = `a link gives status ${answer.status}`;
  return note("links", found, "users have to download through the coordinator");
}

async function clocks(store: ArtifactStore, key: string): Promise<Finding> {
  const answer = await fetchLink(store, key);
  await answer.arrayBuffer();
  const serverMs = Date.parse(answer.headers.get("date") ?? "");
  if (Number.isNaN(serverMs)) return note("clocks", "the server does not tell its time", "");
  const offMs = Math.abs(Date.now() - serverMs);
  const found = `the server's differs by ${(offMs / 1000).toFixed(0)} s`;
  if (offMs <= clockMsMax) return ok("clocks", found);
  return missing("clocks", found, "set this machine's clock by NTP");
}

/** Nobody renders less for want of this; what is left behind costs money all the same. */
async function unfinishedUploads(store: ArtifactStore): Promise<Finding> {
  const what = "unfinished uploads";
  const found = await checked(what, async () => {
    await store.sweepParts(tooOldMs);
    return ok(what, "can be listed, to be aborted when they are old");
  });
  if (found.status === "ok") return found;
  const remedy = "permit s3:ListBucketMultipartUploads, or give the bucket a lifecycle rule";
  return note(what, found.found, remedy);
}

async function fetchLink(store: ArtifactStore, key: string): Promise<Response> {
  const url = await store.link?.(key, { seconds: linkSeconds });
  if (url === undefined) throw new Error("the store gives no links");
  return fetch(url, { signal: AbortSignal.timeout(fetchMsMax) });
}

async function lists(store: ArtifactStore, wanted: string): Promise<boolean> {
  for await (const { key } of store.list(wanted)) if (key === wanted) return true;
  return false;
}

function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}
