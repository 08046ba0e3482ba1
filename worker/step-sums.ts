// Sums step reports between two messages to the agent, so that a fast model's hundreds of module
// calls a second become a few small messages.
import type { ModuleDelta, StepsMessage } from "./engine-messages.js";
import type { StepEvent } from "./profile.js";

type Sums = { -readonly [Field in keyof ModuleDelta]: ModuleDelta[Field] };

export class StepSums {
  readonly #modules = new Map<string, Sums>();
  #stepSeconds: number[] = [];
  #flops = 0;
  #flopsNone = 0;
  #step = 0;
  #steps = 0;

  add(event: StepEvent): void {
    this.#step = event.step + 1;
    this.#steps = event.steps;
    this.#stepSeconds.push(event.seconds);
    this.#flops += event.flops;
    this.#flopsNone += event.flopsNone;
    for (const report of event.modules) {
      const sums = this.#sumsOf(report);
      sums.calls += 1;
      sums.tokensComputed += report.tokensComputed;
      sums.tokensReused += report.tokensReused;
      sums.seconds += report.seconds;
      sums.flops += report.flops;
      sums.drift = report.drift ?? sums.drift;
    }
  }

  /** What was added since the last take, or undefined when nothing was. */
  take(): StepsMessage | undefined {
    if (this.#stepSeconds.length === 0) return undefined;
    const message: StepsMessage = {
      type: "steps",
      step: this.#step,
      steps: this.#steps,
      stepSeconds: this.#stepSeconds,
      flops: this.#flops,
      flopsNone: this.#flopsNone,
      modules: [...this.#modules.values()],
    };
    this.#modules.clear();
    this.#stepSeconds = [];
    this.#flops = 0;
    this.#flopsNone = 0;
    return message;
  }

  #sumsOf({ layer, block, module }: Pick<ModuleDelta, "layer" | "block" | "module">): Sums {
    const key = `${layer}/${block}/${module}`;
    let sums = this.#modules.get(key);
    if (sums === undefined) {
      const zeros = { calls: 0, tokensComputed: 0, tokensReused: 0, seconds: 0, flops: 0 };
      sums = { layer, block, module, ...zeros, drift: null };
      this.#modules.set(key, sums);
    }
    return sums;
  }
}
