// The coordinator's metrics: a table, and how they follow from turns (counters) and from the state
// at the scrape (gauges).

import { errorCodes } from "../common/errors.js";
import { combinations, createMetrics, type Metrics } from "../common/metrics.js";
import type { FarmEvent } from "./core/events.js";
import type { Farm } from "./core/farm.js";
import { conditionOf } from "./core/liveness.js";
import { type Batch, clipsQueued, type State } from "./core/state.js";
import type { FarmPort, Turn } from "./ports.js";

const queueStates = ["queued", "retry_wait", "leased", "running"] as const;
const deviceStates = ["starting", "idle", "busy", "failed"] as const;

/**
 * Until a kind of device has published a clip, it counts as this fast, so that a new farm's backlog
 * is not nothing.
 */
const assumedFlopsPerSecond = 5e10;

const coordinatorMetrics = {
  tocafarm_queue_segments: {
    type: "gauge",
    help: "Segments of unfinished batches by state",
    labels: ["state"],
    zeros: combinations({ state: queueStates }),
  },
  tocafarm_backlog_device_seconds: {
    type: "gauge",
    help: "Estimated seconds that one device would need for all waiting segments",
    labels: [],
    zeros: [{}],
  },
  tocafarm_attempts_total: {
    type: "counter",
    help: "Attempts ended, by outcome and typed reason",
    labels: ["outcome", "reason"],
    zeros: [
      ...combinations({ outcome: ["published", "cancelled"], reason: ["none"] }),
      ...combinations({ outcome: ["lost"], reason: ["silent", "not_held", "handed_back"] }),
      ...combinations({ outcome: ["superseded"], reason: ["completed", "failed"] }),
      ...combinations({ outcome: ["failed"], reason: Object.keys(errorCodes) }),
    ],
  },
  tocafarm_devices: {
    type: "gauge",
    help: "Devices of connected workers by state",
    labels: ["state"],
    zeros: combinations({ state: deviceStates }),
  },
} as const;

type CoordinatorMetrics = Metrics<typeof coordinatorMetrics>;

/**
 * Metrics that follow the farm: the answer is what Prometheus reads, with the gauges of the moment.
 */
export function meter(farm: FarmPort): CoordinatorMetrics["scrape"] {
  const metrics = createMetrics(coordinatorMetrics);
  farm.onTurn((turn) => countTurn(metrics, turn));
  return async () => {
    await farm.query((state) => readGauges(metrics, state));
    return metrics.scrape();
  };
}

function countTurn(metrics: CoordinatorMetrics, { events, effects }: Turn): void {
  const count = (outcome: string, reason: string): void =>
    metrics.count("tocafarm_attempts_total", { outcome, reason });
  for (const event of events) countEvent(event, count);
  for (const effect of effects) {
    if (effect.type === "superseded") count("superseded", effect.report);
    if (effect.type === "stop_attempt" && effect.reason === "cancelled") count("cancelled", "none");
  }
}

function countEvent(event: FarmEvent, count: (outcome: string, reason: string) => void): void {
  if (event.type === "ClipPublished") count("published", "none");
  if (event.type === "AttemptLost") count("lost", event.reason);
  if (event.type === "AttemptFailed") count("failed", event.failure.code);
}

function readGauges(metrics: CoordinatorMetrics, { state, live }: Farm): void {
  const queue = { queued: 0, retry_wait: 0, leased: 0, running: 0 };
  for (const batch of unfinished(state)) {
    const backingOff = clipsBackingOff(batch);
    queue.retry_wait += backingOff;
    queue.queued += clipsQueued(batch) - backingOff;
  }
  for (const lease of state.leases.values()) queue[lease.started ? "running" : "leased"] += 1;
  for (const name of queueStates) {
    metrics.set("tocafarm_queue_segments", { state: name }, queue[name]);
  }
  metrics.set("tocafarm_backlog_device_seconds", {}, backlogSeconds(state));
  const devices = { starting: 0, idle: 0, busy: 0, failed: 0 };
  for (const worker of live.workers.values()) {
    if (!worker.connected) continue;
    for (const device of worker.devices.values()) devices[conditionOf(device)] += 1;
  }
  for (const name of deviceStates) metrics.set("tocafarm_devices", { state: name }, devices[name]);
}

/** FLOPs of the waiting clips over the mean speed that the farm's devices have shown. */
function backlogSeconds(state: State): number {
  const speeds = [...state.speeds.values()];
  const mean = speeds.reduce((sum, speed) => sum + speed, 0) / Math.max(1, speeds.length);
  let flops = 0;
  for (const batch of unfinished(state)) flops += clipsQueued(batch) * batch.plan.flops;
  return flops / (mean > 0 ? mean : assumedFlopsPerSecond);
}

function* unfinished(state: State): Generator<Batch> {
  for (const queue of state.queues) yield* queue.values();
}

function clipsBackingOff(batch: Batch): number {
  let count = 0;
  for (const index of batch.waiting) if (batch.clips.get(index)?.backingOff) count += 1;
  return count;
}
