// What operators do to a batch and its clips: each request becomes one command and is answered with
// the batch as it stands then. Whether it makes sense, for this batch and now, the core decides.

import { FarmError } from "../../common/errors.js";
import { unary } from "../../common/rpc.js";
import type {
  Batch as BatchMessage,
  ClipRange,
  MoveBatchRequest,
  RenderFarmServer,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { Command } from "../core/commands.js";
import type { ClipRanges } from "../core/events.js";
import type { FarmPort } from "../ports.js";
import { batchOf, idCharactersMax } from "./batch-reads.js";
import type { Outlook } from "./outlook.js";

/** Every third clip of 3,000 is the most that one request can name one by one. */
const rangesMax = 1_000;

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

export interface AnswerContext {
  readonly farm: FarmPort;
  readonly outlook: Outlook;
}

export interface BatchAnswer {
  readonly batch: BatchMessage;
  readonly clipsChanged: number;
}

interface ClipsRequest {
  readonly batchId: string;
  readonly clips: readonly ClipRange[];
}

export function batchVerbs(context: AnswerContext): BatchVerbs {
  const verb = (command: Command) => answerWithBatch(context, command);
  const clips = (type: ClipVerb, request: ClipsRequest) => changeClips(context, type, request);
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
export async function answerWithBatch(
  { farm, outlook }: AnswerContext,
  command: Command,
): Promise<BatchAnswer> {
  const { refusal, batch, clipsChanged } = await farm.command(command);
  if (refusal) throw new FarmError(refusal.code, refusal.message);
  return farm.query((now) => ({
    batch: outlook.batch(now, batchOf(now, batch ?? "")),
    clipsChanged,
  }));
}

type ClipVerb = "retry" | "skip" | "promote" | "approve" | "reject";

async function changeClips(
  context: AnswerContext,
  type: ClipVerb,
  { batchId, clips }: ClipsRequest,
): Promise<BatchAnswer> {
  return answerWithBatch(context, { type, batch: named(batchId), clips: fromRanges(clips) });
}

function fromRanges(ranges: readonly ClipRange[]): ClipRanges {
  if (ranges.length > rangesMax) {
    throw invalid(`${ranges.length} ranges are given, ${rangesMax} are allowed; use several calls`);
  }
  return ranges.map(({ first, last }) => [first, last] as const);
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
