// Opens whichever store a location names: the one way to a store for all who use it.
import { openFolderStore } from "./folder.js";
import { parseLocation } from "./location.js";
import type { ArtifactStore } from "./port.js";

/**
 * The store at a folder or s3:// location (location.ts), once a file could be stored and removed
 * there. Throws INVALID_ARGUMENT for a bad location, IO with what to do for one that does not
 * work.
 */
export async function openStore(text: string): Promise<ArtifactStore> {
  const location = parseLocation(text);
  if (location.kind === "folder") return openFolderStore(location.folder);
  // Loaded on demand: the client of S3 takes longer to load than everything else together.
  const { openS3Store } = await import("./s3.js");
  return openS3Store(location);
}
