// Things to look at when their time has come: a binary heap by time. Nothing is ever taken out
// early; whoever asked looks whether it still matters, and asks anew where it came too soon.

interface Timer<T> {
  readonly at: number;
  /** Number of the timer, so that those of one moment come in the order in which they were set. */
  readonly order: number;
  readonly what: T;
}

export class Timers<T> {
  readonly #heap: Timer<T>[] = [];
  #set = 0;

  set(at: number, what: T): void {
    const heap = this.#heap;
    const timer = { at, order: this.#set++, what };
    let place = heap.length;
    while (place > 0) {
      const above = (place - 1) >>> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, timer)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = timer;
  }

  /** The next one whose time has come. */
  due(now: number): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.at > now) return undefined;
    const last = heap.pop();
    if (last !== undefined && heap.length > 0) this.#sink(last);
    return first.what;
  }

  /** Puts the timer at the top down to where it belongs. */
  #sink(timer: Timer<T>): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      const left = 2 * place + 1;
      const [a, b] = [heap[left], heap[left + 1]];
      if (a === undefined) break;
      const [least, below] = b !== undefined && isBefore(b, a) ? [b, left + 1] : [a, left];
      if (isBefore(timer, least)) break;
      heap[place] = least;
      place = below;
    }
    heap[place] = timer;
  }
}

function isBefore<T>(a: Timer<T>, b: Timer<T>): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
