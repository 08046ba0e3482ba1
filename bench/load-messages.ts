// What the processes that make load and the benchmark that measures it tell each other, the same
// for simulated agents of the farm and for workers of another queue.

/** To a process that holds many workers. */
export type ToLoad =
  /** Opens so many workers, numbered from `first`. */
  | {
      readonly type: "open";
      readonly address: string;
      readonly first: number;
      readonly count: number;
    }
  /** Every worker takes jobs, and holds each for half to one and a half times this long. */
  | { readonly type: "work"; readonly holdMs: number }
  /** Forgets what was measured so far. */
  | { readonly type: "reset" }
  /** Answered by `measured`. */
  | { readonly type: "collect" }
  /** No worker takes another job. */
  | { readonly type: "rest" };

export type FromLoad =
  | { readonly type: "opened" }
  /** From a worker that is free to its next job, one for each job. */
  | { readonly type: "measured"; readonly waitsMs: readonly number[] };
