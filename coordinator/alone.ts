// The leadership of a pool with one coordinator, which has a log of its own: it leads at once, and
// nobody can follow it.

import type { Leadership } from "./ports.js";

export function leadershipAlone(): Leadership {
  return {
    campaign: async (_self, signal) => {
      signal.throwIfAborted();
      return { lost: new Promise(() => {}), resign: async () => {} };
    },
    leader: () => null,
  };
}
