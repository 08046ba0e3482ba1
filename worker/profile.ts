// A clip's profile and trace: what every module of every layer did at every step. The profile is
// one small JSON beside the clip; the trace, when asked for, is a JSON line for each module call.
import { closeSync, openSync, writeFileSync } from "node:fs";
import type { EngineEvent, ModuleReport } from "../engine/engine.js";
import { unusedCacheWarning } from "../engine/unused-cache.js";

export type StepEvent = Extract<EngineEvent, { type: "step" }>;

const moduleColumns = [
  "layer",
  "block",
  "module",
  "decision",
  "tokens_computed",
  "tokens_reused",
  "seconds",
  "flops",
  "drift",
] as const;

export interface ProfileHead {
  readonly model: string;
  readonly policy: string;
  readonly firstStep: number;
}

/**
 * Collects a clip's steps. Rows instead of objects: at 28 layers and 30 steps names would be 80 %
 * of it.
 */
export class Profile {
  readonly #steps: object[] = [];
  #reused = 0;
  #passed = 0;

  add(event: StepEvent): void {
    for (const { tokensComputed, tokensReused } of event.modules) {
      this.#reused += tokensReused;
      this.#passed += tokensComputed + tokensReused;
    }
    this.#steps.push({
      step: event.step,
      timestep: event.timestep,
      trunk: event.trunk,
      seconds: event.seconds,
      flops: event.flops,
      flops_none: event.flopsNone,
      modules: event.modules.map((module) => Object.values(moduleFields(module))),
    });
  }

  /**
   * The JSON text; `columns` names the values of a module's row. Of a resumed clip it has the steps
   * from `firstStep` on: those before were another attempt's, and so nothing is said of them.
   */
  text({ model, policy, firstStep }: ProfileHead): string {
    const unused = unusedCacheWarning({ policy, reused: this.#reused, passed: this.#passed });
    const warnings = unused === undefined || firstStep > 0 ? [] : [unused];
    const head = { version: 1, model, policy, first_step: firstStep, warnings };
    const profile = { ...head, columns: moduleColumns, steps: this.#steps };
    return `${JSON.stringify(profile)}\n`;
  }
}

/** Writes the trace as the steps come: with indices it may be larger than memory. */
export class TraceFile {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "w");
  }

  add(event: StepEvent): void {
    const lines = event.modules.map((module) => {
      const indices = module.indices === null ? {} : { indices: module.indices };
      const { step, timestep, trunk } = event;
      return `${JSON.stringify({ step, timestep, trunk, ...moduleFields(module), ...indices })}\n`;
    });
    writeFileSync(this.#file, lines.join("")); // all of it, or an error
  }

  close(): void {
    closeSync(this.#file);
  }
}

function moduleFields(
  report: ModuleReport,
): Record<(typeof moduleColumns)[number], string | number | null> {
  const { layer, block, module, decision, seconds, flops, drift } = report;
  const { tokensComputed, tokensReused } = report;
  return {
    layer,
    block,
    module,
    decision,
    tokens_computed: tokensComputed,
    tokens_reused: tokensReused,
    seconds,
    flops,
    drift,
  };
}
