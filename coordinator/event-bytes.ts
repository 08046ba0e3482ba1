// How many bytes an event may take in the log. What a leader decides together has to fit into one
// message, and to count that it need not write everything out twice: the events of which a busy
// farm has many are alike in all but numbers and keys.

import type { Artifact, FarmEvent } from "./core/events.js";

/** Type, time and attempt. */
const attemptBytes = 150;

/** With nine numbers of up to 24 digits. */
const totalsBytes = 400;

/** Around its key: names, digest, length. */
const artifactBytes = 130;

/** At least what the event takes as JSON in UTF-8, and not much more. */
export function eventBytesMax(event: FarmEvent): number {
  switch (event.type) {
    case "AttemptStarted":
    case "AttemptLost":
      return attemptBytes;
    case "CheckpointStored":
      return attemptBytes + totalsBytes + bytesOf([event.checkpoint.artifact]);
    case "SegmentCompleted":
    case "PreviewPublished":
    case "ClipPublished":
      return attemptBytes + totalsBytes + bytesOf(event.artifacts);
    default:
      return Buffer.byteLength(JSON.stringify(event));
  }
}

/** Keys are plain letters, which take a byte each. */
function bytesOf(artifacts: readonly Artifact[]): number {
  return artifacts.reduce((sum, { key }) => sum + artifactBytes + key.length, 0);
}
