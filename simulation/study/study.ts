// What a user asks of a simulation: which devices, whose work, how it arrives, what goes wrong.
// Read from a JSON file; every number has its bounds, and most have a default.

import {
  type Field,
  flag,
  integerIn,
  listOf,
  namedOf,
  numberIn,
  objectOf,
  or,
  text,
  title,
} from "./fields.js";

const hoursMax = 24 * 366;
const minutes = numberIn({ min: 0, max: hoursMax * 60 });
const perHour = or(numberIn({ min: 0, max: 3_600 }), 0);
const share = or(numberIn({ min: 0, max: 1 }), 0);
const positive = numberIn({ min: 1e-3, max: 1e6 });
const flops = numberIn({ min: 1e6, max: 1e21 });

const device = objectOf({
  /** Devices of one kind render the same bits. */
  kind: text,
  count: integerIn({ min: 1, max: 20_000 }),
  /** Devices on one node, under one agent. */
  perAgent: or(integerIn({ min: 1, max: 64 }), 8),
  memoryGiB: or(numberIn({ min: 0.1, max: 10_000 }), 80),
  /** A device of speed 1 takes `secondsPerClip` for a clip. */
  speed: or(positive, undefined),
  /** Instead of `speed`: 1 stands for 1e14. */
  flopsPerSecond: or(flops, undefined),
  models: or(listOf(text, 1), undefined),
  /** When they come. */
  atMinutes: or(minutes, 0),
});

const tenant = objectOf({
  weight: or(positive, 1),
  devicesMax: or(integerIn({ min: 1, max: 100_000 }), undefined),
  clipsQueuedMax: or(integerIn({ min: 1, max: 10_000_000 }), undefined),
});

const preview = objectOf({
  /** Of the device time of a final clip. */
  cost: or(numberIn({ min: 0.001, max: 1 }), 0.1),
  /** From the preview's end until somebody approves. */
  approveAfterMinutes: or(minutes, 5),
});

const batch = objectOf({
  tenant: or(text, "default"),
  model: or(text, "model"),
  clips: integerIn({ min: 1, max: 100_000 }),
  /** On a device of speed 1. */
  secondsPerClip: or(numberIn({ min: 0.01, max: 1e6 }), undefined),
  /** Instead of `secondsPerClip`. */
  flopsPerClip: or(flops, undefined),
  segments: or(integerIn({ min: 1, max: 1_000 }), 1),
  steps: or(integerIn({ min: 1, max: 1_000 }), 30),
  /** An attempt can be resumed from every so many steps; 0 = from none. */
  refreshEvery: or(integerIn({ min: 0, max: 1_000 }), 1),
  memoryGiB: or(numberIn({ min: 0, max: 10_000 }), 1),
  /** Tier, 0 first. */
  priority: or(integerIn({ min: 0, max: 4 }), 2),
  atMinutes: or(minutes, 0),
  deadlineMinutes: or(minutes, undefined),
  preview: or(preview, undefined),
  /** The same again, `times` in all, so many minutes apart. */
  repeat: or(
    objectOf({ everyMinutes: positive, times: integerIn({ min: 1, max: 10_000 }) }),
    undefined,
  ),
});

const faults = objectOf({
  agentCrashesPerHour: perHour,
  engineCrashesPerHour: perHour,
  partitionsPerHour: perHour,
  leaderCrashesPerHour: perHour,
  /** How long a crashed agent or a partition is away. */
  downMinutes: or(minutes, 2),
  /** Devices that take twice as long. */
  slowShare: share,
  badClipShare: share,
});

const rules = objectOf({
  leaseSeconds: or(numberIn({ min: 3, max: 3_600 }), undefined),
  tierRaiseMinutes: or(minutes, undefined),
  preemption: or(flag, undefined),
  checkpointSeconds: or(numberIn({ min: 0, max: 86_400 }), undefined),
});

const study = objectOf({
  name: or(title, "farm"),
  seed: or(integerIn({ min: 0, max: 2 ** 31 }), 1),
  /** Faults end then; by default they go on for about as long as the work takes. */
  hours: or(numberIn({ min: 0.01, max: hoursMax }), undefined),
  devices: listOf(device, 1),
  tenants: or(namedOf(tenant), {}),
  batches: listOf(batch, 1),
  faults: or(faults, undefined),
  rules: or(rules, undefined),
  coordinators: or(integerIn({ min: 1, max: 9 }), 1),
});

type Read<T> = T extends Field<infer V> ? V : never;

export type Study = Read<typeof study>;
export type StudyBatch = Read<typeof batch>;
export type StudyDevice = Read<typeof device>;
export type StudyFaults = Read<typeof faults>;

/** A study from JSON that was parsed. Throws INVALID_ARGUMENT, naming the field and the bound. */
export function readStudy(json: unknown): Study {
  return study(json, "");
}
