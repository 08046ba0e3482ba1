// What operators do to a batch and its clips: each request is checked, becomes one command, and is
// answered with the batch as it stands then. Whether the batch is in a state for it, the core
// decides.

import { FarmError } from "../../common/errors.js";
import { unary } from "../../common/rpc.js";
import type {
  Batch as BatchMessage,
  ClipRange,
  MoveBatchRequest,
  RenderFarmServer,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { Command } from "../core/commands.js";
import type { FarmPort } from "../ports.js";
import { batchOf, idCharactersMax } from "./batch-reads.js";
import { fromRanges } from "./clip-ranges.js";
import { toBatchMessage } from "./convert.js";

type BatchVerbs = Pick<
  RenderFarmServer,
  | "cancelBatch"
  | "pauseBatch"
  | "resumeBatch"
  | "setPriority"
  | "moveBatch"
  | "retryClips"
  | "skipClips"
  | "promoteClips"
  | "approveClips"
  | "rejectClips"
>;

export interface BatchAnswer {
  readonly batch: BatchMessage;
  readonly clipsChanged: number;
}

interface ClipsRequest {
  readonly batchId: string;
  readonly clips: readonly ClipRange[];
}

export function batchVerbs(farm: FarmPort): BatchVerbs {
  const verb = (command: Command) => answerWithBatch(farm, command);
  const clips = (type: ClipVerb, request: ClipsRequest) => changeClips(farm, type, request);
  return {
    cancelBatch: unary(({ batchId }) => verb({ type: "cancel", batch: named(batchId) })),
    pauseBatch: unary(({ batchId, cutRunning }) =>
      verb({ type: "pause", batch: named(batchId), cutRunning }),
    ),
    resumeBatch: unary(({ batchId }) => verb({ type: "resume", batch: named(batchId) })),
    setPriority: unary(({ batchId, priority }) =>
      verb({ type: "set_priority", batch: named(batchId), priority }),
    ),
    moveBatch: unary(async ({ batchId, place }) =>
      verb({ type: "move", batch: named(batchId), place: fromPlace(place) }),
    ),
    retryClips: unary((request) => clips("retry", request)),
    skipClips: unary((request) => clips("skip", request)),
    promoteClips: unary((request) => clips("promote", request)),
    approveClips: unary((request) => clips("approve", request)),
    rejectClips: unary((request) => clips("reject", request)),
  };
}

/** Carries out a command that is about one batch, and answers how the batch stands then. */
export async function answerWithBatch(farm: FarmPort, command: Command): Promise<BatchAnswer> {
  const { refusal, batch, clipsChanged } = await farm.command(command);
  if (refusal) throw new FarmError(refusal.code, refusal.message);
  return farm.query((now) => ({
    batch: toBatchMessage(batchOf(now, batch ?? "")),
    clipsChanged,
  }));
}

type ClipVerb = "retry" | "skip" | "promote" | "approve" | "reject";

/** These verbs have an obvious meaning without clips; the others would be taken for a slip. */
const meanAllClips: readonly ClipVerb[] = ["retry", "approve"];

async function changeClips(
  farm: FarmPort,
  type: ClipVerb,
  { batchId, clips }: ClipsRequest,
): Promise<BatchAnswer> {
  if (clips.length === 0 && !meanAllClips.includes(type)) {
    throw invalid(`clips is empty; name at least one range of clips to ${type}`);
  }
  const ranges = await farm.query((now) => fromRanges(clips, batchOf(now, batchId).clipsTotal));
  return answerWithBatch(farm, { type, batch: batchId, clips: ranges });
}

function named(batchId: string): string {
  return batchId.slice(0, idCharactersMax);
}

function fromPlace(place: MoveBatchRequest["place"]): "first" | "last" {
  switch (place) {
    case "QUEUE_PLACE_FIRST":
      return "first";
    case "QUEUE_PLACE_LAST":
      return "last";
    default:
      throw invalid("place is neither QUEUE_PLACE_FIRST nor QUEUE_PLACE_LAST; name one");
  }
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
