// Runs small worlds of a row of seeds in a process of its own, so that two rows can be run at once:
// node simulation-seeds.js FIRST COUNT. Prints one line of JSON, with the first failures.

import { checkSeed } from "../../simulation/check.js";

/** Shrinking takes its time, and one history is read at a time. */
const failuresMax = 3;

const [first = 0, count = 0] = process.argv.slice(2).map(Number);
const failures: string[] = [];
let events = 0;
let seeds = 0;
for (let seed = first; seed < first + count && failures.length < failuresMax; seed++) {
  const checked = checkSeed(seed);
  seeds += 1;
  events += checked.events;
  if (checked.failure !== null) failures.push(checked.failure);
}
process.stdout.write(`${JSON.stringify({ seeds, events, failures })}\n`);
