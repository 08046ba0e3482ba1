// How far an attempt is and what it has used so far, added up from what its engine tells. An
// attempt that goes on from a checkpoint begins with the totals of the steps before.
import type { Clock } from "../common/clock.js";
import type { RenderTotals } from "../proto/gen/tocafarm/v1/render.js";
import type { Lease } from "../proto/gen/tocafarm/v1/worker.js";
import type { ClipEvent, StepsMessage } from "./engine-messages.js";
import type { Stage } from "./metrics.js";

/** "": the attempt is held and not begun. */
export type AttemptStage = "" | Stage;

export class AttemptTally {
  readonly #clock: Clock;
  readonly steps: number;
  readonly #totals: RenderTotals;
  #stage: AttemptStage = "";
  #stageSinceMs: number;
  #step: number;
  #ownSteps = 0;
  #ownStepSeconds = 0;

  constructor({ spec, resume }: Pick<Lease, "spec" | "resume">, clock: Clock) {
    this.#clock = clock;
    this.#stageSinceMs = clock.now();
    this.steps = spec?.steps ?? 0;
    this.#step = resume?.step ?? 0;
    this.#totals = { ...noTotals, ...resume?.totals };
  }

  get stage(): AttemptStage {
    return this.#stage;
  }

  /** Seconds since the stage began. */
  get stageSeconds(): number {
    return (this.#clock.now() - this.#stageSinceMs) / 1000;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** A copy. */
  get totals(): RenderTotals {
    return { ...this.#totals };
  }

  /** Mean of this attempt's own steps; undefined before the first. */
  get secondsPerStep(): number | undefined {
    return this.#ownSteps === 0 ? undefined : this.#ownStepSeconds / this.#ownSteps;
  }

  begin(stage: Stage): void {
    this.#stage = stage;
    this.#stageSinceMs = this.#clock.now();
  }

  onEngineEvent(event: ClipEvent): void {
    if (event.type === "stage") this.begin(event.stage);
    else if (event.type === "stage_ended") this.end(event.stage, event.seconds);
    else if (event.type === "steps") this.#addSteps(event);
  }

  end(stage: Stage, seconds: number): void {
    const field = totalsField[stage];
    if (field === undefined) return;
    // The steps were added as they came; the stage is a little more than they.
    const counted = stage === "denoise" ? this.#ownStepSeconds : 0;
    this.#totals[field] += Math.max(0, seconds - counted);
  }

  #addSteps({ step, stepSeconds, flops, flopsNone, modules }: StepsMessage): void {
    this.#step = step;
    for (const seconds of stepSeconds) {
      this.#ownSteps += 1;
      this.#ownStepSeconds += seconds;
      this.#totals.denoiseSeconds += seconds;
    }
    this.#totals.flops += flops;
    this.#totals.flopsNone += flopsNone;
    for (const module of modules) {
      this.#totals.tokensComputed += BigInt(module.tokensComputed);
      this.#totals.tokensReused += BigInt(module.tokensReused);
    }
  }
}

const noTotals: RenderTotals = {
  tokensComputed: 0n,
  tokensReused: 0n,
  flops: 0,
  flopsNone: 0,
  textEncodeSeconds: 0,
  denoiseSeconds: 0,
  decodeSeconds: 0,
  encodeSeconds: 0,
  uploadSeconds: 0,
};

const totalsField = {
  load: undefined,
  text_encode: "textEncodeSeconds",
  denoise: "denoiseSeconds",
  decode: "decodeSeconds",
  encode: "encodeSeconds",
  upload: "uploadSeconds",
} as const satisfies Record<Stage, keyof RenderTotals | undefined>;
