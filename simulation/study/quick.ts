// A study from a handful of numbers: one kind of device, tenants who all submit at once.

import { FarmError } from "../../common/errors.js";
import { readStudy, type Study } from "./study.js";

export interface QuickOptions {
  readonly devices?: number;
  readonly clips?: number;
  readonly secondsPerClip?: number;
  /** NAME:WEIGHT, with commas between them; a name alone has weight 1. */
  readonly tenants?: string;
  /** Faults an hour, of each agent, engine and link, and of whoever leads. */
  readonly faults?: number;
}

/** What a coordinator takes in one batch. */
const clipsPerBatchMax = 100_000;

/** Throws INVALID_ARGUMENT for tenants that are none. */
export function quickStudy(options: QuickOptions): Study {
  const { devices = 8, clips = 1_000, secondsPerClip = 30, faults = 0 } = options;
  const tenants = tenantsOf(options.tenants ?? "default");
  const names = Object.keys(tenants);
  const batches = names.flatMap((tenant, index) => {
    const own = Math.floor(clips / names.length) + (index < clips % names.length ? 1 : 0);
    return inBatches(own).map((each) => ({ tenant, clips: each, secondsPerClip }));
  });
  if (batches.length === 0)
    throw invalid(`--clips is ${clips}, which is less than there are tenants`);
  return readStudy({
    devices: [{ kind: "device", count: devices }],
    tenants,
    batches,
    coordinators: faults > 0 ? 2 : 1,
    faults: {
      agentCrashesPerHour: faults,
      engineCrashesPerHour: faults,
      partitionsPerHour: faults,
      leaderCrashesPerHour: faults,
    },
  });
}

function tenantsOf(text: string): Readonly<Record<string, { readonly weight: number }>> {
  const entries = text.split(",").map((part) => {
    const match = /^([\w-]+)(?::(\d+(?:\.\d+)?))?$/.exec(part.trim());
    if (!match) throw invalid(`--tenants is ${text}; NAME:WEIGHT,NAME:WEIGHT is wanted`);
    return [match[1] ?? "", { weight: Number(match[2] ?? 1) }] as const;
  });
  return Object.fromEntries(entries);
}

function inBatches(clips: number): readonly number[] {
  const count = Math.ceil(clips / clipsPerBatchMax);
  return Array.from({ length: count }, (_, index) =>
    Math.min(clipsPerBatchMax, clips - index * clipsPerBatchMax),
  );
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
