import assert from "node:assert/strict";
import { test } from "node:test";
import { coordinatorConfig } from "./config.js";

test("a data folder is enough, and artifacts lie in it unless told otherwise", () => {
  const config = coordinatorConfig(["--data", "/d"], {});
  assert.equal(config.artifacts, "/d/artifacts");
  assert.equal(config.listen, "127.0.0.1:0");
  assert.equal(config.rules.leaseMs, 10_000);
  assert.equal(coordinatorConfig(["--data=/d", "--artifacts=/a"], {}).artifacts, "/a");
});

test("a pool's name must do as part of a subject", () => {
  assert.throws(() => coordinatorConfig(["--data=/d", "--pool=a.b"], {}), {
    code: "INVALID_ARGUMENT",
    message: /--pool is "a\.b"/,
  });
});

test("a coordinator that others shall reach says where, and refuses what nobody can dial", () => {
  const shared = ["--data=/d", "--nats=nats://n1:4222,nats://n2:4222", "--nats-replicas=3"];
  const config = coordinatorConfig([...shared, "--advertise=c1.example:7433"], {});
  assert.equal(config.advertise, "c1.example:7433");
  assert.equal(config.natsReplicas, 3);
  const refused = (flags: readonly string[], message: RegExp) =>
    assert.throws(() => coordinatorConfig([...shared, ...flags], {}), {
      code: "INVALID_ARGUMENT",
      message,
    });
  refused(["--listen=0.0.0.0:7433"], /nobody can dial; give --advertise HOST:PORT/);
  refused(["--listen=[::]:7433"], /nobody can dial/);
  refused(["--advertise=c1.example:0"], /--advertise is c1.example:0; give a port/);
  const alone = ["--data=/d", "--listen=0.0.0.0:7433"];
  assert.equal(coordinatorConfig(alone, {}).listen, "0.0.0.0:7433", "nobody else needs to");
});

test("snapshot limits have units and bounds", () => {
  const { snapshotLimits } = coordinatorConfig(["--data=/d", "--snapshot-mebibytes=2"], {});
  assert.deepEqual(snapshotLimits, { turns: 50_000, bytes: 2 * 1024 * 1024 });
  assert.throws(() => coordinatorConfig(["--data=/d", "--snapshot-turns=1"], {}), {
    code: "INVALID_ARGUMENT",
    message: /snapshot-turns/,
  });
});
