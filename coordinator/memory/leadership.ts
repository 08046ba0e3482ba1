// Leadership within one process, for tests: several coordinators compete for one seat, and the test
// says when its holder has been silent for too long.

import { FarmError } from "../../common/errors.js";
import type { LeaderInfo, Leadership, Reign } from "../ports.js";

/** What the coordinators of a pool compete for. */
export interface MemorySeat {
  /** The view of one coordinator. */
  readonly leadership: Leadership;
  /** The holder counts itself out, as after a claim that was not renewed; the next one follows. */
  depose(): void;
}

interface Holder {
  readonly info: LeaderInfo;
  readonly lose: (error: FarmError) => void;
}

/** A seat that nobody has; several coordinators may share its `leadership`. */
export function memorySeat(): MemorySeat {
  let holder: Holder | null = null;
  const waiting = new Set<() => void>();
  const leave = (leaving: Holder | null): void => {
    if (leaving === null || holder !== leaving) return;
    holder = null;
    for (const wake of [...waiting]) wake();
  };
  const sit = (info: LeaderInfo): Reign => {
    let lose: (error: FarmError) => void = () => {};
    const lost = new Promise<never>((_, reject) => {
      lose = reject;
    });
    lost.catch(() => {}); // whoever leads listens too
    const self = { info, lose };
    holder = self;
    return { lost, resign: async () => leave(self) };
  };
  const campaign = async (info: LeaderInfo, signal: AbortSignal): Promise<Reign> => {
    await Promise.resolve();
    signal.throwIfAborted();
    while (holder !== null) {
      await nextVacancy(waiting, signal);
      signal.throwIfAborted();
    }
    return sit(info);
  };
  return {
    leadership: { campaign, leader: () => holder?.info ?? null },
    depose: () => {
      const deposed = holder;
      leave(deposed);
      deposed?.lose(new FarmError("UNAVAILABLE", "the claim to lead was not renewed in time"));
    },
  };
}

/** Resolves when the seat gets free, or when the signal aborts. */
function nextVacancy(waiting: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      waiting.delete(wake);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    waiting.add(wake);
    signal.addEventListener("abort", wake);
  });
}
