import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm } from "../../test/support/coordinator-core.js";
import type { FarmPort } from "../ports.js";
import { createOutlook } from "./outlook.js";

/** The part of a farm that an outlook asks for. */
function portOf(farm: TestFarm): FarmPort {
  return {
    now: () => farm.now,
    term: 1,
    query: async (read) => read(farm.farm),
    command: async (command) => farm.do(command),
    onTurn: () => () => {},
  };
}

function shown(farm: TestFarm, outlook: ReturnType<typeof createOutlook>, id: string) {
  const batch = farm.state.batches.get(id);
  assert.ok(batch);
  const { deviceSecondsLeft, secondsToFinish, late } = outlook.batch(farm.farm, batch);
  return { deviceSecondsLeft, secondsToFinish, late };
}

test("nothing is foretold before a device has shown its speed, but a missed deadline is", () => {
  const farm = new TestFarm();
  const outlook = createOutlook(portOf(farm));
  farm.submit("b1", { deadlineAt: 5_000 });
  const unknown = { deviceSecondsLeft: undefined, secondsToFinish: undefined };
  assert.deepEqual(shown(farm, outlook, "b1"), { ...unknown, late: false });
  farm.now = 5_001;
  assert.deepEqual(shown(farm, outlook, "b1"), { ...unknown, late: true });
});

test("with a learnt speed, time left and lateness are told, also of a batch just submitted", () => {
  const farm = new TestFarm();
  const outlook = createOutlook(portOf(farm));
  farm.submit("b0", { clips: 1 });
  farm.join("w1");
  farm.place();
  farm.now += 10_000;
  farm.complete("w1", farm.lease("w1"));
  farm.submit("b1", { clips: 3 });
  const first = shown(farm, outlook, "b1");
  assert.ok(Math.abs((first.secondsToFinish ?? 0) - 30) < 1, `${first.secondsToFinish} s`);
  assert.equal(first.late, false);
  farm.submit("b2", { clips: 1, deadlineAt: farm.now + 5_000 });
  assert.equal(shown(farm, outlook, "b2").late, true);
  farm.do({ type: "cancel", batch: "b1" });
  const over = shown(farm, outlook, "b1");
  assert.deepEqual([over.deviceSecondsLeft, over.secondsToFinish], [undefined, undefined]);
});
