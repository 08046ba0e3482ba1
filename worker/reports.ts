// The last reports of each device. A report may be lost with its connection, or with the leader
// that heard it last, so each new connection repeats those that were not certainly heard: a device
// is given a lease only while the leader knows of one other live attempt of it at most.
import type { AttemptRef, Checkpoint, Completed, Failed } from "../proto/gen/tocafarm/v1/worker.js";
import { nameOf } from "./agent-messages.js";

export type Report =
  | { readonly $case: "completed"; readonly value: Completed }
  | { readonly $case: "failed"; readonly value: Failed };

interface Kept {
  readonly report: Report;
  /** The attempt's newest, which may have been lost with the report. */
  readonly checkpoint: Checkpoint | undefined;
}

export class Reports {
  readonly #kept = new Map<string, readonly Kept[]>();

  add(device: string, report: Report, checkpoint: Checkpoint | undefined): void {
    this.#kept.set(device, [...(this.#kept.get(device) ?? []), { report, checkpoint }]);
  }

  /** A lease has come for the device: all reports but the newest were heard. */
  leaseGiven(device: string): void {
    this.#kept.set(device, (this.#kept.get(device) ?? []).slice(-1));
  }

  /** What was reported of the attempt. */
  of(ref: AttemptRef): Report | undefined {
    return this.#all().find(({ report }) => {
      const { attempt } = report.value;
      return attempt !== undefined && nameOf(attempt) === nameOf(ref);
    })?.report;
  }

  get completed(): Completed[] {
    return this.#all().flatMap(({ report }) =>
      report.$case === "completed" ? [report.value] : [],
    );
  }

  get failed(): Failed[] {
    return this.#all().flatMap(({ report }) => (report.$case === "failed" ? [report.value] : []));
  }

  /** Of attempts that failed: what is left of a completed one nobody needs. */
  get checkpoints(): Checkpoint[] {
    return this.#all().flatMap(({ report, checkpoint }) =>
      report.$case === "failed" && checkpoint !== undefined ? [checkpoint] : [],
    );
  }

  #all(): readonly Kept[] {
    return [...this.#kept.values()].flat();
  }
}
