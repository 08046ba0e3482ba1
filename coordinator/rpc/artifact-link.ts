// A link to a published file that anybody may read for a while: made by the store, where it can.

import path from "node:path";
import { FarmError } from "../../common/errors.js";
import type {
  GetArtifactLinkRequest,
  GetArtifactLinkResponse,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { ArtifactStore, FarmPort } from "../ports.js";
import { checkPublished } from "./artifact-streams.js";

const validSecondsDefault = 3_600;
/** A week, the most that S3 signs for. */
const validSecondsMax = 604_800;

/**
 * Throws INVALID_ARGUMENT for a time out of bounds, NOT_FOUND for what is not published, and
 * FAILED_PRECONDITION where the store gives no links.
 */
export async function artifactLink(
  { key, validSeconds }: GetArtifactLinkRequest,
  farm: FarmPort,
  store: ArtifactStore,
): Promise<GetArtifactLinkResponse> {
  const seconds = validSeconds === 0 ? validSecondsDefault : validSeconds;
  if (seconds > validSecondsMax) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `valid_seconds is ${seconds}, ${validSecondsMax} (a week) are allowed`,
    );
  }
  await checkPublished(farm, key);
  if (!store.link) {
    throw new FarmError(
      "FAILED_PRECONDITION",
      "this farm's artifacts lie in a folder, which gives no links: download the file, or keep " +
        "artifacts in S3",
    );
  }
  const askedAt = farm.now();
  const url = await store.link(key, { seconds, filename: fileNameOf(key) });
  return { url, expiresAt: new Date(askedAt + seconds * 1000) };
}

/** "b04k2m9qx7r1t.000003.mp4": of a download folder's files, each should say what it is. */
function fileNameOf(key: string): string {
  const [, clip = "", , name = ""] = key.split("/");
  return name.startsWith("video.") || name.startsWith("image.")
    ? `${clip}${path.posix.extname(name)}`
    : `${clip}.${name}`;
}
