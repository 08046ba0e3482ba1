// What the coordinator's parts know of each other: the log behind the leader, the farm before the
// services. Adapters implement or use these and never import one another.

import type { ArtifactStore } from "../artifacts/port.js";
import type { Command, Decision, Effect } from "./core/commands.js";
import type { FarmEvent, PlanFigures, RenderSpec } from "./core/events.js";
import type { Farm } from "./core/farm.js";
import type { ModelInfo } from "./core/liveness.js";

/** The log of a pool. One message of it is one turn: events that were decided together. */
export interface EventLog {
  /**
   * Hands over every turn from the first on; resolves to the sequence of the last one, 0 for an
   * empty log.
   */
  replay(onTurn: (events: readonly FarmEvent[], sequence: number) => void): Promise<number>;
  /**
   * Appends one turn behind `afterSequence` and resolves to its own sequence, once it is on disk.
   * Throws UNAVAILABLE when somebody else has written or the outcome is unclear: then the caller
   * leads no longer and has to begin with a replay.
   */
  append(events: readonly FarmEvent[], afterSequence: number): Promise<number>;
}

/** Commands that were decided together, once their events are in the log. */
export interface Turn {
  readonly sequence: number;
  readonly commands: readonly Command[];
  readonly events: readonly FarmEvent[];
  readonly effects: readonly Effect[];
}

/**
 * The farm as services see it: commands answered from the log, reads of nothing that is not in it.
 */
export interface FarmPort {
  /**
   * Resolves once the command's events are in the log. Throws UNAVAILABLE when the leader has
   * stopped.
   */
  command(command: Command): Promise<Decision>;
  /** Reads the state at a moment when all of it is in the log. */
  query<T>(read: (farm: Farm) => T): Promise<T>;
  /** Calls the listener after every turn; returns how to stop that. */
  onTurn(listener: (turn: Turn) => void): () => void;
  /** This leader's reign. */
  readonly term: number;
  /** Milliseconds since 1970 that never go back. */
  now(): number;
}

/** What the plan says of one clip. Throws INVALID_ARGUMENT with the bound that is broken. */
export type Planner = (model: ModelInfo, spec: RenderSpec, dtype: string) => PlanFigures;

/** Prompts of batches, as blobs of the artifact store. */
export interface PromptStore {
  /** Stores the list; the same list has the same key. */
  put(prompts: readonly string[]): Promise<{ readonly key: string; readonly sha256: string }>;
  /** Throws IO or NOT_FOUND when the blob is gone or damaged. */
  load(key: string): Promise<readonly string[]>;
}

export type { ArtifactStore };
