// A list that is always in order, for a few thousand items at most: an array with binary search.
// The order must tell any two items apart, and an item's place in it must not change while it is in
// the list.

import { assert } from "../../common/assert.js";

export class SortedList<T> {
  readonly items: T[] = [];
  readonly #compare: (a: T, b: T) => number;

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  add(item: T): void {
    this.items.splice(this.#placeOf(item), 0, item);
  }

  delete(item: T): void {
    const place = this.#placeOf(item);
    assert(this.items[place] === item, "an item is taken from a sorted list that has it not");
    this.items.splice(place, 1);
  }

  /** Index of the first item that does not come before this one. */
  #placeOf(item: T): number {
    let low = 0;
    let high = this.items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = this.items[middle];
      if (found !== undefined && this.#compare(found, item) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** For names: by code unit, the same on every machine. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
