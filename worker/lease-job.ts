// From a lease to a job for an engine process: everything that came over the network is checked
// before it touches a path or a device. Placement is the coordinator's; what does not fit here is
// refused.
import { FarmError } from "../common/errors.js";
import type { TraceDetail } from "../proto/gen/tocafarm/v1/render.js";
import type { Lease } from "../proto/gen/tocafarm/v1/worker.js";
import type { DeviceSettings, ModelRef, RenderJob, TraceLevel } from "./engine-messages.js";

export interface JobInputs {
  readonly settings: DeviceSettings;
  readonly models: ReadonlyMap<string, ModelRef>;
  /** The attempt's own folder. */
  readonly folder: string;
  readonly initialLatentPath: string | null;
  /** A copy of the lease's checkpoint; null = it has none. */
  readonly resumeFromPath: string | null;
  readonly checkpointPeriodSeconds: number;
}

// FFmpeg's rates are rationals; beyond this nothing plays.
const saveFpsMax = 1000;

/**
 * The job of a lease. Throws INVALID_ARGUMENT for a lease that makes no sense, NOT_FOUND for a
 * model that is not here, UNSUPPORTED for another device or dtype than this one.
 */
export function jobOf(lease: Lease, inputs: JobInputs): RenderJob {
  const { spec } = lease;
  if (spec === undefined) throw invalid("the lease has no render spec");
  const { settings } = inputs;
  checkPlacement("device", spec.device, settings.device.split(":")[0] ?? "");
  checkPlacement("dtype", spec.dtype, settings.dtype);
  if (!(spec.saveFps > 0 && spec.saveFps <= saveFpsMax)) {
    throw invalid(`save_fps is ${spec.saveFps}, allowed is more than 0 and at most ${saveFpsMax}`);
  }
  const { frames, height, width, fps, steps, guidance, sampler } = spec;
  const policy = spec.policy ?? { name: "none", options: {} };
  return {
    model: modelOf(spec.model, inputs.models),
    plan: { frames, height, width, fps, steps, guidance, sampler, policy },
    prompt: lease.prompt,
    scores: spec.scores ?? {},
    seed: lease.seed,
    saveFps: spec.saveFps,
    initialLatentPath: inputs.initialLatentPath,
    resumeFromPath: inputs.resumeFromPath,
    firstStep: lease.resume?.step ?? 0,
    checkpointPeriodSeconds: inputs.checkpointPeriodSeconds,
    saveLatent: spec.saveLatent,
    saveFrames: spec.saveFrames,
    trace: traceLevel(spec.trace),
    folder: inputs.folder,
  };
}

function modelOf(name: string, models: ReadonlyMap<string, ModelRef>): ModelRef {
  const model = models.get(name);
  if (model !== undefined) {
    const { path, configs, traits } = model;
    return { name, path, configs, traits };
  }
  const known = [...models.keys()].join(", ");
  throw new FarmError("NOT_FOUND", `model ${JSON.stringify(name)} is not here; here are: ${known}`);
}

function checkPlacement(what: string, asked: string, here: string): void {
  if (asked === "" || asked === here) return;
  throw new FarmError("UNSUPPORTED", `${what} ${asked} is asked for, this worker's is ${here}`);
}

function traceLevel(detail: TraceDetail): TraceLevel {
  switch (detail) {
    case "TRACE_DETAIL_UNSPECIFIED":
      return "none";
    case "TRACE_DETAIL_MODULES":
      return "modules";
    case "TRACE_DETAIL_INDICES":
      return "indices";
    case "UNRECOGNIZED":
      throw invalid("the trace detail is unknown to this worker: update it");
  }
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
