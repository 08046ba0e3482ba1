// The artifact store as everyone else sees it: clips, blobs and prompt lists under relative keys. A
// key appears whole or not at all, so whoever finds one may read it; whether it counts (published
// or not) is said by the event log alone.
import { FarmError } from "../common/errors.js";

/** What the store holds under a key. */
export interface Artifact {
  readonly key: string;
  /** Of the content, hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What can be told of a key without reading its content. */
export interface ArtifactHead {
  readonly key: string;
  readonly sizeBytes: number;
  /** When it was stored, milliseconds since 1970 by the store's clock. */
  readonly modifiedAtMs: number;
}

/**
 * Every method throws INVALID_ARGUMENT for a bad key and IO, with path and remedy, when the store
 * fails.
 */
export interface ArtifactStore {
  /**
   * Stores the bytes; an artifact of the same key is replaced. Nothing is left behind on failure.
   */
  put(key: string, source: Uint8Array | AsyncIterable<Uint8Array>): Promise<Artifact>;
  /** Stores a local file by moving it: afterwards it is no longer at `path`. */
  putFile(key: string, path: string): Promise<Artifact>;
  /**
   * The content in chunks of at most 256 KiB; NOT_FOUND on the first read when the key is absent.
   * An error at the end says that what came is not what was stored.
   */
  get(key: string): AsyncIterable<Uint8Array>;
  head(key: string): Promise<ArtifactHead | undefined>;
  /**
   * Every artifact whose key begins with the prefix ("" = all), in no promised order and in bounded
   * memory. What is stored or deleted meanwhile may or may not appear.
   */
  list(prefix: string): AsyncIterable<ArtifactHead>;
  /** Nothing happens when the key is absent. */
  delete(key: string): Promise<void>;
  /**
   * Removes what puts that never ended left behind and that is older than `ageMs`: hidden part
   * files, unfinished uploads. Resolves to how many. A put that has been going on for longer fails.
   */
  sweepParts(ageMs: number): Promise<number>;
  /** Only of a store in a folder: the path at which the key lies or would lie. */
  localPath?(key: string): string;
  /** Only of a store that serves HTTP: a URL at which anybody may read the key for a while. */
  link?(key: string, options: LinkOptions): Promise<string>;
}

export interface LinkOptions {
  /** How long the link is good for: 1 to 604,800 (a week). */
  readonly seconds: number;
  /** The name under which a browser saves it; without one it is shown where that is possible. */
  readonly filename?: string;
}

// Short enough for every file system with the part file's extra characters (255 bytes a name), and
// for S3 (1024 bytes a key).
const keyCharactersMax = 512;
const partCharactersMax = 200;
// Portable between file systems, S3 and URLs; a leading dot is kept for files that are no artifact.
const partPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/** Throws INVALID_ARGUMENT unless the key is relative, bounded and made of plain names. */
export function checkKey(key: string): void {
  const fault = keyFault(key);
  if (fault === undefined) return;
  throw new FarmError(
    "INVALID_ARGUMENT",
    `artifact key ${JSON.stringify(key.slice(0, 100))} ${fault}`,
  );
}

/** Whether checkKey lets it pass. */
export function isKey(key: string): boolean {
  return keyFault(key) === undefined;
}

/** As checkKey, for the beginning of a key: also "" and a name that is not finished. */
export function checkPrefix(prefix: string): void {
  const finished = prefix.endsWith("/") ? prefix.slice(0, -1) : prefix;
  if (finished !== "") checkKey(finished);
}

function keyFault(key: string): string | undefined {
  if (key.length > keyCharactersMax) {
    return `has ${key.length} characters, at most ${keyCharactersMax} are allowed`;
  }
  const parts = key.split("/");
  if (parts.some((part) => part.length > partCharactersMax)) {
    return `has a part of more than ${partCharactersMax} characters`;
  }
  if (parts.every((part) => partPattern.test(part))) return undefined;
  return `must be names of letters, digits, ".", "_", "-" joined by "/"`;
}
