// Snapshots in memory, for tests: the same promises as the store in nats/, without the disk.

import type { SnapshotStore } from "../ports.js";

/** An empty store; it keeps the newest snapshot alone. */
export function memorySnapshots(): SnapshotStore {
  let kept: { readonly sequence: number; readonly text: string } | null = null;
  return {
    newest: async () => kept,
    save: async (sequence, text) => {
      await Promise.resolve();
      if (kept === null || sequence >= kept.sequence) kept = { sequence, text };
    },
  };
}
