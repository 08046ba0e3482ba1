// A coordinator's metrics: a table, and how they follow from the turns of its own reigns (counters)
// and from the state at the scrape (gauges). A standby's gauges are zero, so that a sum over all
// coordinators of a pool is the pool's.

import { errorCodes } from "../common/errors.js";
import { combinations, createMetrics, type Metrics } from "../common/metrics.js";
import type { Effect } from "./core/commands.js";
import type { FarmEvent } from "./core/events.js";
import type { Farm } from "./core/farm.js";
import { forecast } from "./core/forecast.js";
import { conditionOf, isDraining } from "./core/liveness.js";
import { clipsQueued } from "./core/state.js";
import { LiveAttempts } from "./live-attempts.js";
import type { FarmPort, ReplicaPort, Turn } from "./ports.js";

const queueStates = ["queued", "retry_wait", "leased", "running", "awaiting_approval"] as const;
const deviceStates = ["starting", "idle", "busy", "failed", "quarantined", "draining"] as const;
const lostReasons = ["silent", "not_held", "handed_back", "cut", "revoked"] as const;

const coordinatorMetrics = {
  tocafarm_coordinator_leader: {
    type: "gauge",
    help: "Whether this coordinator leads its pool: 1 or 0",
    labels: [],
    zeros: [{}],
  },
  tocafarm_coordinator_term: {
    type: "gauge",
    help: "Reigns of the pool, as far as this coordinator has read the log",
    labels: [],
    zeros: [{}],
  },
  tocafarm_coordinator_sequence: {
    type: "gauge",
    help: "Place in the log that reads see here; the leader's tells how far a standby is behind",
    labels: [],
    zeros: [{}],
  },
  tocafarm_queue_segments: {
    type: "gauge",
    help: "Segments of unfinished batches by state",
    labels: ["state"],
    zeros: combinations({ state: queueStates }),
  },
  tocafarm_backlog_device_seconds: {
    type: "gauge",
    help: "Estimated seconds that one device would need for everything that is not rendered yet",
    labels: [],
    zeros: [{}],
  },
  tocafarm_attempts_total: {
    type: "counter",
    help: "Attempts ended, by outcome and typed reason",
    labels: ["outcome", "reason"],
    zeros: [
      ...combinations({ outcome: ["published"], reason: ["none", "preview", "segment"] }),
      ...combinations({ outcome: ["cancelled"], reason: ["none", "skipped", "rejected"] }),
      ...combinations({ outcome: ["lost"], reason: lostReasons }),
      ...combinations({ outcome: ["superseded"], reason: ["completed", "failed"] }),
      ...combinations({ outcome: ["failed"], reason: Object.keys(errorCodes) }),
    ],
  },
  tocafarm_attempts_resumed_total: {
    type: "counter",
    help: "Attempts that began at a checkpoint of an earlier one",
    labels: [],
    zeros: [{}],
  },
  tocafarm_checkpoints_total: {
    type: "counter",
    help: "Checkpoints stored",
    labels: [],
    zeros: [{}],
  },
  tocafarm_resume_steps_total: {
    type: "counter",
    help: "Steps that checkpoints saved from being done again, and steps that were lost",
    labels: ["outcome"],
    zeros: combinations({ outcome: ["saved", "lost"] }),
  },
  tocafarm_cuts_total: {
    type: "counter",
    help: "Attempts asked to hand back at a refresh point, by reason",
    labels: ["reason"],
    zeros: combinations({ reason: ["preempted", "paused", "drained"] }),
  },
  tocafarm_quarantines_total: {
    type: "counter",
    help: "Devices quarantined, and released by a canary or an operator",
    labels: ["outcome"],
    zeros: combinations({ outcome: ["begun", "canary", "operator"] }),
  },
  tocafarm_devices: {
    type: "gauge",
    help: "Devices of connected workers by state",
    labels: ["state"],
    zeros: combinations({ state: deviceStates }),
  },
} as const;

type CoordinatorMetrics = Metrics<typeof coordinatorMetrics>;

export interface Meter {
  /** Counts what happens from now on in a reign. */
  count(farm: FarmPort): { stop(): Promise<void> };
  /** What Prometheus reads, with the gauges of the moment. */
  readonly scrape: CoordinatorMetrics["scrape"];
}

export function createMeter(replica: ReplicaPort): Meter {
  const metrics = createMetrics(coordinatorMetrics);
  return {
    count: (farm) => countReign(metrics, farm),
    scrape: async () => {
      const { life } = replica;
      metrics.set("tocafarm_coordinator_term", {}, life?.term ?? 0);
      metrics.set("tocafarm_coordinator_sequence", {}, life?.sequence ?? 0);
      if (life?.leads) await life.query((now) => readGauges(metrics, now, life.now()));
      else zeroGauges(metrics);
      return metrics.scrape();
    },
  };
}

function countReign(metrics: CoordinatorMetrics, farm: FarmPort): { stop(): Promise<void> } {
  const end = (outcome: string, reason: string): void =>
    metrics.count("tocafarm_attempts_total", { outcome, reason });
  let attempts: LiveAttempts | undefined;
  const begun = farm.query(({ state }) => {
    attempts = new LiveAttempts(state, ({ outcome, reason }, stepsLost) => {
      end(outcome, reason);
      metrics.count("tocafarm_resume_steps_total", { outcome: "lost" }, stepsLost);
    });
  });
  const unsubscribe = farm.onTurn((turn) => {
    attempts?.take(turn);
    countTurn(metrics, turn);
  });
  return {
    stop: async () => {
      unsubscribe();
      await begun.catch(() => {}); // a reign that was over before it had begun
    },
  };
}

function countTurn(metrics: CoordinatorMetrics, { events, effects }: Turn): void {
  for (const event of events) countEvent(metrics, event);
  for (const effect of effects) countEffect(metrics, effect);
}

function countEvent(metrics: CoordinatorMetrics, event: FarmEvent): void {
  switch (event.type) {
    case "LeaseGranted":
      if (event.resumeStep === 0) return;
      metrics.count("tocafarm_attempts_resumed_total");
      metrics.count("tocafarm_resume_steps_total", { outcome: "saved" }, event.resumeStep);
      return;
    case "CheckpointStored":
      metrics.count("tocafarm_checkpoints_total");
      return;
    case "DeviceQuarantined":
      metrics.count("tocafarm_quarantines_total", { outcome: "begun" });
      return;
    case "DeviceReleased":
      metrics.count("tocafarm_quarantines_total", { outcome: event.by });
      return;
    default:
  }
}

function countEffect(metrics: CoordinatorMetrics, effect: Effect): void {
  // Not what an agent tells again after a reconnect of an attempt that was published.
  if (effect.type === "superseded" && effect.discard) {
    const { type: outcome, report: reason } = effect;
    metrics.count("tocafarm_attempts_total", { outcome, reason });
  }
  if (effect.type === "cut_attempt") {
    metrics.count("tocafarm_cuts_total", { reason: effect.reason });
  }
}

function readGauges(metrics: CoordinatorMetrics, farm: Farm, now: number): void {
  const { state, live } = farm;
  const queue = { queued: 0, retry_wait: 0, leased: 0, running: 0, awaiting_approval: 0 };
  for (const batch of state.unfinished.values()) {
    // Of the clips that came back, those whose time has not come.
    const waiting = batch.waiting.size - (live.queue.work(batch.id)?.ready.size ?? 0);
    queue.retry_wait += waiting;
    queue.queued += clipsQueued(batch) - waiting;
    queue.awaiting_approval += batch.clipsAwaitingApproval;
  }
  for (const lease of state.leases.values()) queue[lease.started ? "running" : "leased"] += 1;
  const devices = { starting: 0, idle: 0, busy: 0, failed: 0, quarantined: 0, draining: 0 };
  for (const worker of live.workers.values()) {
    if (!worker.connected) continue;
    for (const device of worker.devices.values()) {
      const condition = conditionOf(device);
      const works = condition === "idle" || condition === "busy";
      devices[works && isDraining(worker) ? "draining" : condition] += 1;
    }
  }
  const backlogSeconds = forecast(farm, now).pool.backlogDeviceSeconds;
  setGauges(metrics, { leader: 1, queue, devices, backlogSeconds });
}

interface Gauges {
  readonly leader: number;
  readonly queue: Readonly<Record<(typeof queueStates)[number], number>>;
  readonly devices: Readonly<Record<(typeof deviceStates)[number], number>>;
  readonly backlogSeconds: number;
}

function zeroGauges(metrics: CoordinatorMetrics): void {
  const queue = { queued: 0, retry_wait: 0, leased: 0, running: 0, awaiting_approval: 0 };
  const devices = { starting: 0, idle: 0, busy: 0, failed: 0, quarantined: 0, draining: 0 };
  setGauges(metrics, { leader: 0, queue, devices, backlogSeconds: 0 });
}

function setGauges(metrics: CoordinatorMetrics, gauges: Gauges): void {
  metrics.set("tocafarm_coordinator_leader", {}, gauges.leader);
  metrics.set("tocafarm_backlog_device_seconds", {}, gauges.backlogSeconds);
  for (const state of queueStates) {
    metrics.set("tocafarm_queue_segments", { state }, gauges.queue[state]);
  }
  for (const state of deviceStates) {
    metrics.set("tocafarm_devices", { state }, gauges.devices[state]);
  }
}
