// How many of something, in a sentence for people.

/** "1 step", "30 steps". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
