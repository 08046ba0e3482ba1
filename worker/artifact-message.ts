// A stored artifact as it is reported.
import type { Artifact } from "../artifacts/port.js";
import type { Artifact as ArtifactMessage } from "../proto/gen/tocafarm/v1/render.js";

export function toArtifactMessage({ key, sha256, sizeBytes }: Artifact): ArtifactMessage {
  return { key, sha256, sizeBytes: BigInt(sizeBytes) };
}
