// Users and operators: they ask whoever leads, ask again when they learn nothing, and keep note of
// what they were told, since all of that must be in the log.

import { newBatchId } from "../common/ids.js";
import type { Command, Decision, Submission } from "../coordinator/core/commands.js";
import type { ClipRanges, FarmEvent, PlanFigures, RenderSpec } from "../coordinator/core/events.js";
import type { Ledger } from "./checkers/ledger.js";
import { promised } from "./checkers/violation.js";
import { type SimulatedCoordinator, wallEpochMs } from "./coordinator.js";
import type { SimulatedSeat } from "./log.js";
import type { Random } from "./random.js";
import type { BatchSpec } from "./scenario.js";
import { sha256Of } from "./store.js";
import type { Timeline } from "./timeline.js";

export interface ClientOptions {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly coordinators: readonly SimulatedCoordinator[];
  readonly seat: SimulatedSeat;
  readonly ledger: Ledger;
  readonly linkMs: number;
}

export interface Submitted {
  readonly id: string;
  readonly spec: BatchSpec;
  readonly atMs: number;
  /** Pending until the farm has answered. */
  answer: "pending" | "accepted" | "refused";
}

/** Without an answer for this long, a client asks again. */
const patienceMs = 10_000;
const againMs = 500;

type Verb = Exclude<
  FarmEvent["type"],
  | "LeaseGranted"
  | "AttemptStarted"
  | "CheckpointStored"
  | "AttemptLost"
  | "AttemptFailed"
  | "SegmentCompleted"
  | "PreviewPublished"
  | "ClipPublished"
  | "ClipFailed"
>;

/** Events that come of what a client asked for. */
const verbs: ReadonlySet<string> = new Set<Verb>([
  "BatchAccepted",
  "BatchCancelled",
  "BatchPaused",
  "BatchResumed",
  "PrioritySet",
  "BatchMoved",
  "ClipsRetried",
  "ClipsSkipped",
  "ClipsPromoted",
  "ClipsApproved",
  "WorkerDrained",
  "WorkerUndrained",
]);

export class Client {
  readonly submitted: Submitted[] = [];
  readonly #options: ClientOptions;
  readonly #logged = new Set<string>();
  #pending = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    options.ledger.listeners.push({
      onEvent: (event) => {
        if (verbs.has(event.type)) this.#logged.add(JSON.stringify(event));
      },
    });
  }

  /** Questions that wait for an answer. */
  get pending(): number {
    return this.#pending;
  }

  submit(spec: BatchSpec): void {
    const { timeline, random } = this.#options;
    const entropy = Uint8Array.from([0, 0, 0, 0], () => random.below(256));
    const id = newBatchId(wallEpochMs + timeline.nowMs, entropy);
    const submitted: Submitted = { id, spec, atMs: timeline.nowMs, answer: "pending" };
    this.submitted.push(submitted);
    const submission = submissionOf(id, spec, wallEpochMs + timeline.nowMs);
    this.ask({ type: "submit", submission }, ({ refusal, batch }) => {
      submitted.answer = refusal === null ? "accepted" : "refused";
      const told = refusal !== null || batch === id;
      promised(told, "a submission makes one batch", () => `${id} was answered with ${batch}`);
    });
  }

  /** A verb about one of the batches, counted from 0. */
  askOf(index: number, commandOf: (batch: string) => Command): void {
    const submitted = this.submitted[index % Math.max(1, this.submitted.length)];
    if (submitted !== undefined) this.ask(commandOf(submitted.id));
  }

  /** Asks until there is an answer; all that it says must be in the log. */
  ask(command: Command, onAnswer: (decision: Decision) => void = () => {}): void {
    this.#pending += 1;
    const known = "batch" in command && this.#options.ledger.batches.has(command.batch);
    this.#try(command, (decision) => {
      this.#pending -= 1;
      this.#checkTold(command, decision, known);
      onAnswer(decision);
    });
  }

  #try(command: Command, onAnswer: (decision: Decision) => void): void {
    const { timeline, coordinators, seat, linkMs } = this.#options;
    let over = false;
    const again = (waitMs: number) => {
      if (over) return;
      over = true;
      timeline.after(waitMs, () => this.#try(command, onAnswer));
    };
    const coordinator = coordinators[seat.holder ?? 0];
    if (!coordinator?.process.alive) {
      again(againMs);
      return;
    }
    timeline.after(patienceMs, () => again(0));
    timeline.after(linkMs, () =>
      coordinator.process.reach(() =>
        coordinator.command(command, (decision) =>
          timeline.after(linkMs, () => {
            if (decision === null) again(againMs);
            else if (!over) {
              over = true;
              onAnswer(decision);
            }
          }),
        ),
      ),
    );
  }

  /** `known`: the log had the batch in question when the question was asked. */
  #checkTold(command: Command, { events, refusal, batch }: Decision, known: boolean): void {
    for (const event of events) {
      if (!verbs.has(event.type)) continue;
      const logged = this.#logged.has(JSON.stringify(event));
      promised(logged, "what was told is in the log", () => `${event.type} of ${batch}`);
    }
    if (command.type === "submit" && refusal === null) {
      const accepted = this.#options.ledger.batches.has(batch ?? "");
      promised(accepted, "what was told is in the log", () => `the submission of ${batch}`);
    }
    const lost = known && refusal?.code === "NOT_FOUND";
    promised(!lost, "no batch is forgotten", () => `${command.type} of ${batch}`);
  }
}

/** Ranges of `count` clips from `first` on, within a batch. */
export function rangeOf({ clips }: BatchSpec, first: number, count: number): ClipRanges {
  const begin = first % clips;
  return [[begin, Math.min(clips - 1, begin + Math.max(1, count) - 1)]];
}

function submissionOf(id: string, spec: BatchSpec, nowMs: number): Submission {
  const { tenant, priority, clips, segments, deadlineMs, preview } = spec;
  return {
    batch: id,
    name: id,
    tenant,
    priority,
    spec: renderSpecOf(spec),
    weightsDigest: weightsDigestOf(spec.model),
    clips,
    segments,
    promptsKey: `blobs/${id}`,
    promptsSha256: sha256Of(id),
    plan: figuresOf(spec, spec),
    preview: preview && {
      steps: preview.steps,
      policy: { name: "none", options: {} },
      plan: figuresOf(spec, preview),
    },
    deadlineAt: deadlineMs === null ? null : nowMs + deadlineMs,
    idempotencyKey: `key of ${id}`,
    bodySha256: sha256Of(JSON.stringify(spec)),
  };
}

export function weightsDigestOf(model: string): string {
  return sha256Of(`weights of ${model}`);
}

function figuresOf(
  { plannedBytes, model }: BatchSpec,
  { flops, refreshPoints }: Pick<BatchSpec, "flops" | "refreshPoints">,
): PlanFigures {
  return {
    flops,
    flopsNone: flops,
    cacheBytes: 0,
    peakBytes: plannedBytes,
    digest: sha256Of(`${model} ${flops}`),
    warnings: [],
    refreshPoints,
  };
}

function renderSpecOf({ model, device, steps }: BatchSpec): RenderSpec {
  return {
    model,
    frames: 51,
    height: 240,
    width: 426,
    fps: 24,
    saveFps: 24,
    steps,
    guidance: 7,
    seed: "42",
    policy: { name: "none", options: {} },
    scores: null,
    dtype: "",
    device,
    initialLatentKey: "",
    saveLatent: false,
    saveFrames: false,
    sampler: "",
    trace: "none",
  };
}
