// Virtual time: what shall happen, in the order in which it happens. Two things of the same moment
// happen in the order in which they were planned, so a run depends on nothing but its inputs.

/** Something planned; `cancelled` things are passed over. */
export interface Planned {
  readonly atMs: number;
  cancelled: boolean;
}

interface Entry extends Planned {
  readonly order: number;
  readonly run: () => void;
}

export class Timeline {
  #nowMs = 0;
  #planned = 0;
  #steps = 0;
  /** A binary heap: the children of entry i are 2 i + 1 and 2 i + 2, none before its parent. */
  readonly #heap: Entry[] = [];

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Things that have happened. */
  get steps(): number {
    return this.#steps;
  }

  /** Plans `run` for `delayMs` from now. */
  after(delayMs: number, run: () => void): Planned {
    const atMs = this.#nowMs + Math.max(0, delayMs);
    const entry: Entry = { atMs, order: this.#planned++, run, cancelled: false };
    this.#rise(this.#heap.push(entry) - 1, entry);
    return entry;
  }

  /** Lets the next thing happen, unless it lies beyond `untilMs`; false when nothing did. */
  step(untilMs: number): boolean {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.atMs > untilMs) return false;
      this.#dropFirst();
      if (first.cancelled) continue;
      this.#nowMs = first.atMs;
      this.#steps += 1;
      first.run();
      return true;
    }
  }

  #dropFirst(): void {
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) this.#sink(last);
  }

  #rise(from: number, entry: Entry): void {
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex];
      if (parent === undefined || !isBefore(entry, parent)) break;
      this.#heap[index] = parent;
      index = parentIndex;
    }
    this.#heap[index] = entry;
  }

  /** Puts the entry where the first one was, and then as deep as it belongs. */
  #sink(entry: Entry): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      const leftIndex = 2 * index + 1;
      const left = heap[leftIndex];
      if (left === undefined) break;
      const right = heap[leftIndex + 1];
      const rightFirst = right !== undefined && isBefore(right, left);
      const child = rightFirst ? right : left;
      if (!isBefore(child, entry)) break;
      heap[index] = child;
      index = rightFirst ? leftIndex + 1 : leftIndex;
    }
    heap[index] = entry;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
