// What the coordinator's parts know of each other: the log behind the leader, the farm before the
// services. Adapters implement or use these and never import one another.

import type { ArtifactHead, ArtifactStore } from "../artifacts/port.js";
import type { Calibration } from "../engine/plan.js";
import type { Command, Decision, Effect } from "./core/commands.js";
import type { FarmEvent, PlanFigures, Policy, RenderSpec } from "./core/events.js";
import type { Farm } from "./core/farm.js";
import type { ModelInfo } from "./core/liveness.js";

/** Takes a turn of the log: events that were decided together, at `sequence`. */
export type OnTurn = (events: readonly FarmEvent[], sequence: number) => void;

/** The log of a pool. One message of it is one turn. */
export interface EventLog {
  /**
   * Hands over every turn behind `after` that is there now; resolves to the sequence of the log's
   * last turn, 0 for an empty log. Throws IO when turns behind `after` were cut off.
   */
  replay(after: number, onTurn: OnTurn): Promise<number>;
  /**
   * Hands over every turn behind `after`, those to come too, until the signal aborts. Throws
   * UNAVAILABLE when the log stops answering.
   */
  follow(after: number, onTurn: OnTurn, signal: AbortSignal): Promise<void>;
  /**
   * Appends one turn behind `afterSequence` and resolves to its own sequence, once it is on disk.
   * Throws UNAVAILABLE when somebody else has written or the outcome is unclear: then the caller
   * leads no longer and has to begin with a replay.
   */
  append(events: readonly FarmEvent[], afterSequence: number): Promise<number>;
  /** Gives up the turns up to and including `sequence`; nothing happens where they are gone. */
  cut(sequence: number): Promise<void>;
  /** Messages and bytes that the log holds now. */
  extent(): Promise<{ readonly turns: number; readonly bytes: number }>;
}

/** The state as of a log sequence, so that a replay need not begin at the beginning. */
export interface SnapshotStore {
  /** The newest whole one: its digest was checked. Null when there is none. */
  newest(): Promise<{ readonly sequence: number; readonly text: string } | null>;
  /** Stores one and reads it back; older ones are given up then. Throws IO when it differs. */
  save(sequence: number, text: string): Promise<void>;
}

/** Who leads a pool. */
export interface LeaderInfo {
  /** Made for this run of the process. */
  readonly id: string;
  /** HOST:PORT of its gRPC, as others reach it. */
  readonly grpc: string;
}

/** Who may try to write the log; the log itself decides who does. */
export interface Leadership {
  /**
   * Waits until this process may try: nobody leads, or the leader has said nothing for 3 s of this
   * machine's monotonic clock. Throws the signal's reason. From then on the claim is renewed every
   * second.
   */
  campaign(self: LeaderInfo, signal: AbortSignal): Promise<Reign>;
  /** The newest known leader, null = none known; watched from the first call of campaign on. */
  leader(): LeaderInfo | null;
}

export interface Reign {
  /** Rejects with UNAVAILABLE when the claim was taken over or could not be renewed in time. */
  readonly lost: Promise<never>;
  /** Gives the claim up, so that another one need not wait. */
  resign(): Promise<void>;
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

/**
 * What one reading of the log grows into: a standby, which follows the log and answers reads, and
 * perhaps the leader, until it is overtaken. Then it is over, and the log is read anew.
 */
export interface Life extends FarmPort {
  /** Otherwise every command throws UNAVAILABLE, and reads see no liveness. */
  readonly leads: boolean;
  /** The place in the log that reads see. */
  readonly sequence: number;
  /** Aborts at its end, with what callers are told as the reason. */
  readonly over: AbortSignal;
  /** Resolves once reads see the log up to `sequence`. Throws the signal's reason. */
  reached(sequence: number, signal: AbortSignal): Promise<void>;
}

/** One coordinator of a pool, which may have others. */
export interface ReplicaPort {
  /** Null while the log is read. */
  readonly life: Life | null;
  /** Who leads, as far as is known here; null = nobody does, or nobody is ready to. */
  readonly leader: LeaderInfo | null;
}

/** What a plan says of one clip. */
export interface Planned {
  /** As asked for, but a preset is what it stands for. */
  readonly policy: Policy;
  readonly figures: PlanFigures;
}

/** What the engine knows of a submission without weights. */
export interface Planner {
  /** Throws INVALID_ARGUMENT with the bound that is broken. */
  plan(model: ModelInfo, spec: RenderSpec, dtype: string, calibration?: Calibration): Planned;
  /** Throws INVALID_ARGUMENT with the first prompt that the model cannot render. */
  checkPrompts(model: ModelInfo, prompts: readonly string[]): void;
}

/** Prompts of batches, as blobs of the artifact store. */
export interface PromptStore {
  /** Stores the list; the same list has the same key. */
  put(prompts: readonly string[]): Promise<{ readonly key: string; readonly sha256: string }>;
  /** Throws NOT_FOUND for a blob that is gone, FAILED_PRECONDITION for a damaged one, and IO. */
  load(key: string): Promise<readonly string[]>;
}

/** Whether the store takes the key. */
export { isKey } from "../artifacts/port.js";
export type { ArtifactHead, ArtifactStore };
