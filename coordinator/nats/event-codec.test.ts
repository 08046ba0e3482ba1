import assert from "node:assert/strict";
import { test } from "node:test";
import { TestFarm } from "../../test/support/coordinator-core.js";
import { currentVersion, decodeTurn, encodeTurn } from "./event-codec.js";

test("every event of a history comes back from its bytes as it was", () => {
  const farm = new TestFarm();
  farm.submit("b1", { clips: 2, name: "ein Name mit ü" });
  farm.join("w1");
  farm.place();
  farm.ask("w1", 1);
  farm.fail("w1", farm.lease("w1"));
  farm.wait(5_000);
  farm.ask("w1");
  farm.place();
  farm.complete("w1", farm.lease("w1"));
  farm.do({ type: "cancel", batch: "b1" });
  assert.deepEqual(decodeTurn(encodeTurn(farm.events)), farm.events);
});

test("the first version's form stays readable", () => {
  const bytes = Buffer.from('{"version":1,"events":[{"type":"LeaderStarted","at":5,"term":1}]}');
  assert.deepEqual(decodeTurn(bytes), [{ type: "LeaderStarted", at: 5, term: 1 }]);
});

test("a log of a newer program is refused, and so is what is no turn", () => {
  const newer = Buffer.from(JSON.stringify({ version: currentVersion + 1, events: [] }));
  assert.throws(() => decodeTurn(newer), {
    code: "FAILED_PRECONDITION",
    message: /newer program/,
  });
  for (const text of ["", "{}", '{"version":0,"events":[]}', '{"version":1}']) {
    assert.throws(() => decodeTurn(Buffer.from(text)), { code: "IO" }, text);
  }
});
