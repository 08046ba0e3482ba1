// The worker's metrics, all in one table. Per-layer series exist with zero for every module of
// every model from the start: 5 x 168 a device at 28 layers; means are the reader's to form.
import { combinations, createMetrics, type Labels, type Metrics } from "../common/metrics.js";
import type { Block, Module } from "../engine/engine.js";
import type { EngineStage, StepsMessage } from "./engine-messages.js";
import { type RestartReason, restartReasons } from "./supervisor.js";

export type Stage = EngineStage | "upload";

/** Of a checkpoint that an engine made: skipped = a newer one came before it could be stored. */
export const checkpointOutcomes = ["stored", "skipped", "failed"] as const;
export type CheckpointOutcome = (typeof checkpointOutcomes)[number];

export const promptOutcomes = ["encoded", "kept"] as const;
export type PromptOutcome = (typeof promptOutcomes)[number];

export const stages: readonly Stage[] = [
  "load",
  "text_encode",
  "denoise",
  "decode",
  "encode",
  "upload",
];

// A demo step takes milliseconds, a 720p step on a slow card a minute.
const stepBuckets = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60];
// An image's decode takes milliseconds, a 16 s clip's denoising up to an hour.
const stageBuckets = [0.01, 0.05, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600];
const moduleLabels = ["device", "model", "layer", "block", "module"] as const;

const table = {
  tocafarm_tokens_total: {
    type: "counter",
    help: "Tokens that passed a module, by outcome: computed, or reused from the cache.",
    labels: [...moduleLabels, "outcome"],
  },
  tocafarm_module_seconds_total: {
    type: "counter",
    help: "Seconds spent in a module.",
    labels: moduleLabels,
  },
  tocafarm_module_calls_total: {
    type: "counter",
    help: "Calls of a module, those that only took from the cache included.",
    labels: moduleLabels,
  },
  tocafarm_cache_drift_ratio: {
    type: "gauge",
    help: "Relative L1 change of a module's output since it was cached, at its newest refresh.",
    labels: moduleLabels,
  },
  tocafarm_flops_total: {
    type: "counter",
    help: "Nominal FLOPs of denoising steps, by outcome: computed, or saved against policy none.",
    labels: ["device", "outcome"],
  },
  tocafarm_step_seconds: {
    type: "histogram",
    help: "Duration of a denoising step.",
    labels: ["device", "model"],
    buckets: stepBuckets,
  },
  tocafarm_stage_seconds: {
    type: "histogram",
    help: "Duration of a stage of a clip; encode is what FFmpeg needs after the last frame.",
    labels: ["stage"],
    buckets: stageBuckets,
    zeros: combinations({ stage: stages }),
  },
  tocafarm_prompts_total: {
    type: "counter",
    help: "Captions of clips, by outcome: encoded, or kept from before in the cache folder.",
    labels: ["outcome"],
    zeros: combinations({ outcome: promptOutcomes }),
  },
  tocafarm_checkpoints_total: {
    type: "counter",
    help: "Checkpoints of running clips, by outcome: stored, skipped for a newer one, or failed.",
    labels: ["outcome"],
    zeros: combinations({ outcome: checkpointOutcomes }),
  },
  tocafarm_engine_restarts_total: {
    type: "counter",
    help: "Starts of an engine process after it ended unasked or had to be ended, by reason.",
    labels: ["device", "reason"],
  },
} as const;

/** One module of one block of a model, as a plan lists them. */
export interface ModuleName {
  readonly layer: number;
  readonly block: Block;
  readonly module: Module;
}

export class WorkerMetrics {
  readonly #metrics: Metrics<typeof table> = createMetrics(table);

  /** Makes every series of a device exist. */
  addDevice(device: string): void {
    for (const outcome of ["computed", "saved"]) {
      this.#metrics.zero("tocafarm_flops_total", { device, outcome });
    }
    for (const reason of restartReasons) {
      this.#metrics.zero("tocafarm_engine_restarts_total", { device, reason });
    }
  }

  /** Makes every series of a model on a device exist. */
  addModel(device: string, model: string, modules: readonly ModuleName[]): void {
    this.#metrics.zero("tocafarm_step_seconds", { device, model });
    for (const name of modules) {
      const labels = labelsOf(device, model, name);
      this.#metrics.zero("tocafarm_module_seconds_total", labels);
      this.#metrics.zero("tocafarm_module_calls_total", labels);
      this.#metrics.zero("tocafarm_cache_drift_ratio", labels);
      for (const outcome of ["computed", "reused"]) {
        this.#metrics.zero("tocafarm_tokens_total", { ...labels, outcome });
      }
    }
  }

  countSteps(device: string, model: string, message: StepsMessage): void {
    const metrics = this.#metrics;
    for (const seconds of message.stepSeconds) {
      metrics.observe("tocafarm_step_seconds", { device, model }, seconds);
    }
    // A policy may cost more than none for a moment (a score, a verification): nothing is saved
    // then.
    const saved = Math.max(0, message.flopsNone - message.flops);
    metrics.count("tocafarm_flops_total", { device, outcome: "computed" }, message.flops);
    metrics.count("tocafarm_flops_total", { device, outcome: "saved" }, saved);
    for (const delta of message.modules) {
      const labels = labelsOf(device, model, delta);
      const tokens = (outcome: string) => ({ ...labels, outcome });
      metrics.count("tocafarm_tokens_total", tokens("computed"), delta.tokensComputed);
      metrics.count("tocafarm_tokens_total", tokens("reused"), delta.tokensReused);
      metrics.count("tocafarm_module_seconds_total", labels, delta.seconds);
      metrics.count("tocafarm_module_calls_total", labels, delta.calls);
      if (delta.drift !== null) metrics.set("tocafarm_cache_drift_ratio", labels, delta.drift);
    }
  }

  observeStage(stage: Stage, seconds: number): void {
    this.#metrics.observe("tocafarm_stage_seconds", { stage }, seconds);
  }

  countPrompt(outcome: PromptOutcome): void {
    this.#metrics.count("tocafarm_prompts_total", { outcome });
  }

  countCheckpoint(outcome: CheckpointOutcome): void {
    this.#metrics.count("tocafarm_checkpoints_total", { outcome });
  }

  countRestart(device: string, reason: RestartReason): void {
    this.#metrics.count("tocafarm_engine_restarts_total", { device, reason });
  }

  scrape(): Promise<{ readonly contentType: string; readonly body: string }> {
    return this.#metrics.scrape();
  }
}

function labelsOf(device: string, model: string, { layer, block, module }: ModuleName): Labels {
  return { device, model, layer: String(layer), block, module };
}
