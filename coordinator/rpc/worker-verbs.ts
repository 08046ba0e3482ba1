// What operators see of workers, and do to them.

import { FarmError } from "../../common/errors.js";
import { unary } from "../../common/rpc.js";
import type {
  DrainWorkerRequest,
  DrainWorkerResponse,
  ListWorkersRequest,
  ListWorkersResponse,
  ReleaseDeviceRequest,
  ReleaseDeviceResponse,
  RenderFarmServer,
  Worker as WorkerMessage,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { Command } from "../core/commands.js";
import type { Farm } from "../core/farm.js";
import type { FarmPort } from "../ports.js";
import { toWorkerMessage } from "./convert.js";

type WorkerVerbs = Pick<RenderFarmServer, "listWorkers" | "drainWorker" | "releaseDevice">;

/** As long as an agent's name may be; what a message repeats of a bad one is cut here. */
const nameCharactersMax = 100;

export function workerVerbs(farm: FarmPort): WorkerVerbs {
  return {
    listWorkers: unary<ListWorkersRequest, ListWorkersResponse>(() =>
      farm.query((now) => ({
        workers: [
          ...[...now.live.workers.values()].map((worker) => toWorkerMessage(worker, now)),
          ...drainedAndGone(now).map((id) => goneMessage(id, now)),
        ],
      })),
    ),
    drainWorker: unary<DrainWorkerRequest, DrainWorkerResponse>(({ workerId, undo }) => {
      const worker = workerId.slice(0, nameCharactersMax);
      return answerWithWorker(farm, { type: "drain_worker", worker, undo }, worker);
    }),
    releaseDevice: unary<ReleaseDeviceRequest, ReleaseDeviceResponse>((request) => {
      const worker = request.workerId.slice(0, nameCharactersMax);
      const device = request.device.slice(0, nameCharactersMax);
      return answerWithWorker(farm, { type: "release_device", worker, device }, worker);
    }),
  };
}

async function answerWithWorker(
  farm: FarmPort,
  command: Command,
  id: string,
): Promise<{ worker: WorkerMessage | undefined }> {
  const { refusal } = await farm.command(command);
  if (refusal) throw new FarmError(refusal.code, refusal.message);
  return farm.query((now) => {
    const worker = now.live.workers.get(id);
    return { worker: worker ? toWorkerMessage(worker, now) : goneMessage(id, now) };
  });
}

/** Workers that this leader has not seen, and whose drain holds when they come. */
function drainedAndGone({ state, live }: Farm): readonly string[] {
  return [...state.drained].filter((id) => !live.workers.has(id));
}

function goneMessage(id: string, { state }: Farm): WorkerMessage {
  const nothing = { version: "", connected: false, connectedAt: undefined, devices: [] };
  return { ...nothing, id, draining: state.drained.has(id) };
}
