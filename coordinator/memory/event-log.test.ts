import assert from "node:assert/strict";
import { test } from "node:test";
import type { FarmEvent } from "../core/events.js";
import { memoryEventLog } from "./event-log.js";

const turnOf = (at: number): readonly FarmEvent[] => [{ type: "WorkerDrained", at, worker: "w" }];

test("a follower gets what is there and what comes, until it is told to stop", async () => {
  const log = memoryEventLog();
  await log.append(turnOf(1), 0);
  await log.append(turnOf(2), 1);
  const stop = new AbortController();
  const seen: number[] = [];
  const following = log.follow(1, (_, sequence) => seen.push(sequence), stop.signal);
  await log.append(turnOf(3), 2);
  await new Promise((resolve) => setTimeout(resolve, 1));
  stop.abort();
  await following;
  assert.deepEqual(seen, [2, 3]);
});

test("what was cut off is refused, and the sequence goes on", async () => {
  const log = memoryEventLog();
  for (let at = 1; at <= 3; at++) await log.append(turnOf(at), at - 1);
  await log.cut(2);
  await log.cut(1);
  assert.equal((await log.extent()).turns, 1);
  await assert.rejects(
    log.replay(1, () => {}),
    { code: "IO" },
  );
  assert.equal(await log.replay(2, () => {}), 3);
  assert.equal(await log.append(turnOf(4), 3), 4);
  await assert.rejects(log.append(turnOf(4), 3), { code: "UNAVAILABLE" });
});
