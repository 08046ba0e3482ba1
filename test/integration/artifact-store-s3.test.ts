// The S3 store against a real server and what happens to servers and wires: kills, cuts, silence,
// damage, wrong keys, missing buckets. Whatever happens, a key holds all of one content or none.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseLocation } from "../../artifacts/location.js";
import { openStore } from "../../artifacts/open.js";
import type { ArtifactStore } from "../../artifacts/port.js";
import { openS3Store } from "../../artifacts/s3.js";
import { defaultPatience, type Patience } from "../../artifacts/s3-client.js";
import { keysOf } from "../support/artifact-keys.js";
import { BentWire } from "../support/bent-wire.js";
import { S3Server, useKeys } from "../support/s3-server.js";

const server = await S3Server.start();
after(() => server.dispose());
afterEach(() => useKeys());

/** A farm's patience with shorter waits between tries. */
const brisk: Patience = { ...defaultPatience, backoff: { baseMs: 50, maxMs: 500 } };
/** For tests of patience itself: seconds instead of minutes. */
const impatient: Patience = {
  ...brisk,
  connectMs: 700,
  answerMs: 700,
  bytesPerSecondMin: 16 * 2 ** 20,
  triesMax: 2,
};
/** Every end must come within this; the bounds above add up to much less. */
const endMsMax = 60_000;

let stores = 0;

/** A store of its own in the bucket, over the server's port or a wire before it. */
async function newStore(patience: Patience, port = server.port): Promise<ArtifactStore> {
  stores += 1;
  const location = parseLocation(server.location(`faults-${stores}`, port));
  assert.ok(location.kind === "s3");
  return openS3Store(location, patience);
}

async function wiredStore(t: TestContext, patience = brisk) {
  const wire = await BentWire.start(t, server.port);
  return { store: await newStore(patience, wire.port), wire };
}

const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");

async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

/** The content in small chunks; `at` is called before the byte at that offset is given. */
async function* paced(content: Buffer, offset: number, at: () => Promise<void>) {
  let called = false;
  for (let from = 0; from < content.length; from += 256 * 1024) {
    if (from >= offset && !called) {
      called = true;
      await at();
    }
    yield content.subarray(from, from + 256 * 1024);
  }
}

test("a file of 100 MiB goes up in parts and comes back with the same bits", async (t) => {
  const store = await openStore(server.location("large"));
  const folder = await mkdtemp(path.join(tmpdir(), "tocafarm-large-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const content = randomBytes(100 * 2 ** 20);
  const file = path.join(folder, "latent");
  await writeFile(file, content);
  const stored = await store.putFile("blobs/large", file);
  assert.deepEqual(stored, {
    key: "blobs/large",
    sha256: sha256(content),
    sizeBytes: 100 * 2 ** 20,
  });
  assert.equal(await digestOf(store.get("blobs/large")), stored.sha256);
  assert.equal(
    (await stat(path.join(server.bucketFolder, "large/blobs/large"))).size,
    100 * 2 ** 20,
  );
});

test("an upload goes on when the server is killed in the middle and comes back", async () => {
  const store = await openStore(server.location("killed")); // the patience of a farm
  const content = randomBytes(40 * 2 ** 20);
  const killed = paced(content, 20 * 2 ** 20, async () => {
    await server.kill();
    void sleep(300).then(() => server.restart());
  });
  const stored = await store.put("blobs/x", killed);
  assert.equal(stored.sha256, sha256(content));
  assert.equal(await digestOf(store.get("blobs/x")), stored.sha256);
});

test("an upload fails when the server stays away, and no key appears", async () => {
  const store = await newStore(brisk);
  await store.put("blobs/old", Buffer.from("old"));
  const content = randomBytes(40 * 2 ** 20);
  const killed = () => paced(content, 20 * 2 ** 20, () => server.kill());
  try {
    const gone = { code: "IO", message: /blobs\/x: nobody listens there: check the endpoint/ };
    await assert.rejects(store.put("blobs/x", killed()), gone);
    await assert.rejects(store.put("blobs/old", killed()), { code: "IO" });
  } finally {
    await server.restart();
  }
  assert.deepEqual(await keysOf(store), ["blobs/old"]);
  assert.equal(await digestOf(store.get("blobs/old")), sha256(Buffer.from("old")));
  assert.equal(await store.sweepParts(24 * 3600 * 1000), 0, "a young upload may still go on");
  assert.equal(await store.sweepParts(-60_000), 1, "the upload that nobody could abort");
  assert.equal(await store.sweepParts(-60_000), 0);
});

test("a download goes on where it broke when the server is killed and comes back", async () => {
  const store = await openStore(server.location("download"));
  const content = randomBytes(40 * 2 ** 20);
  const { sha256: expected } = await store.put("blobs/x", content);
  const hash = createHash("sha256");
  let bytes = 0;
  let killed = false;
  for await (const chunk of store.get("blobs/x")) {
    hash.update(chunk);
    bytes += chunk.byteLength;
    if (killed || bytes < 10 * 2 ** 20) continue;
    killed = true;
    await server.kill();
    await server.restart();
  }
  assert.equal(bytes, content.length);
  assert.equal(hash.digest("hex"), expected);
});

test("a download fails when the server stays away", async () => {
  const store = await newStore(brisk);
  await store.put("blobs/x", Buffer.alloc(40 * 2 ** 20));
  const reading = async () => {
    let bytes = 0;
    for await (const chunk of store.get("blobs/x")) {
      bytes += chunk.byteLength;
      if (bytes === chunk.byteLength) await server.kill();
    }
  };
  try {
    await assert.rejects(reading(), { code: "IO", message: /blobs\/x: / });
  } finally {
    await server.restart();
  }
});

test("a download says so when its object is replaced in the middle", async (t) => {
  const { store, wire } = await wiredStore(t);
  await store.put("blobs/x", Buffer.alloc(40 * 2 ** 20, 1));
  const reading = async () => {
    let chunks = 0;
    for await (const _ of store.get("blobs/x")) {
      chunks += 1;
      if (chunks > 1) continue;
      wire.bend({});
      await store.put("blobs/x", Buffer.alloc(40 * 2 ** 20, 2));
    }
  };
  await assert.rejects(reading(), { code: "IO", message: /replaced or removed while it was read/ });
});

test("connections that are cut again and again are taken up, each where it broke", async (t) => {
  const { store, wire } = await wiredStore(t);
  const content = randomBytes(5 * 2 ** 20);
  await store.put("blobs/x", content);
  wire.bend({ down: { cutAt: 2 ** 20 } });
  const before = wire.connections;
  assert.equal(await digestOf(store.get("blobs/x")), sha256(content));
  assert.ok(wire.connections - before >= 5, "the wire was not cut");
});

test("a byte that changes on the way up is refused by the server", async (t) => {
  const { store, wire } = await wiredStore(t);
  const damaged = { code: "IO", message: /blobs\/x: the content was damaged on the way/ };
  for (const bytes of [2 ** 20, 20 * 2 ** 20]) {
    const content = randomBytes(bytes);
    wire.bend({ up: { flipAt: 2 ** 18, again: true } });
    await assert.rejects(store.put("blobs/x", content), damaged);
    wire.bend({});
    assert.deepEqual(await keysOf(store), []);
    assert.equal(await store.sweepParts(-60_000), 0, "parts were left behind");
    assert.equal((await store.put("blobs/y", content)).sha256, sha256(content));
    await store.delete("blobs/y");
  }
});

test("a content that was damaged once is sent again", async (t) => {
  const { store, wire } = await wiredStore(t);
  wire.bend({ up: { flipAt: 2 ** 19 } });
  const content = randomBytes(2 ** 20);
  assert.equal((await store.put("blobs/x", content)).sha256, sha256(content));
  assert.equal(await digestOf(store.get("blobs/x")), sha256(content));
});

test("a byte that changes on the way down is found at the end", async (t) => {
  const { store, wire } = await wiredStore(t);
  await store.put("blobs/whole", randomBytes(2 ** 20));
  await store.put(
    "blobs/parts",
    paced(randomBytes(20 * 2 ** 20), 0, async () => {}),
  );
  for (const key of ["blobs/whole", "blobs/parts"]) {
    wire.bend({ down: { flipAt: 2 ** 19 } });
    await assert.rejects(digestOf(store.get(key)), {
      code: "IO",
      message: /what came has the SHA-256 .*, not .*: read it again/,
    });
  }
});

test("a server that takes everything and answers nothing is given up in time", async (t) => {
  const { store, wire } = await wiredStore(t, impatient);
  await store.put("blobs/x", Buffer.alloc(2 ** 20));
  wire.silent = true;
  const silent = { code: "IO", message: /there is no answer: check the endpoint/ };
  const beganMs = performance.now();
  await assert.rejects(store.head("blobs/x"), silent);
  await assert.rejects(store.put("blobs/y", randomBytes(20 * 2 ** 20)), silent);
  await assert.rejects(digestOf(store.get("blobs/x")), silent);
  await assert.rejects(keysOf(store), silent);
  await assert.rejects(newStore(impatient, wire.port), silent);
  assert.ok(performance.now() - beganMs < endMsMax);
});

test("a stream that falls silent in the middle is taken up on another connection", async (t) => {
  const { store, wire } = await wiredStore(t, impatient);
  const content = randomBytes(40 * 2 ** 20);
  await store.put("blobs/x", content);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of store.get("blobs/x")) {
    hash.update(chunk);
    if (bytes === 0) {
      wire.silent = true;
      setTimeout(() => {
        wire.silent = false;
      }, 1_000);
    }
    bytes += chunk.byteLength;
  }
  assert.equal(hash.digest("hex"), sha256(content));
});

test("an endpoint that never takes a connection is given up in time", async (t) => {
  const port = await deafPort(t);
  const beganMs = performance.now();
  await assert.rejects(newStore(impatient, port), {
    code: "IO",
    message: /there is no answer: check/,
  });
  assert.ok(performance.now() - beganMs < endMsMax);
});

/** A listener that is stopped and has its queue full, so that new connections are not answered. */
async function deafPort(t: TestContext): Promise<number> {
  const program = `const server = require("net").createServer().listen(
    { host: "127.0.0.1", port: 0, backlog: 1 }, () => console.log(server.address().port))`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const [line] = await once(child.stdout, "data");
  const port = Number(String(line));
  child.kill("SIGSTOP");
  for (let count = 0; count < 4; count += 1) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    t.after(() => socket.destroy());
  }
  return port;
}

test("wrong keys, no keys and a missing bucket are told with what to do", async () => {
  useKeys("test-access-key", "another-secret");
  await assert.rejects(openStore(server.location()), {
    code: "IO",
    message: /the secret key is wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/,
  });
  useKeys("another-key", "another-secret");
  await assert.rejects(openStore(server.location()), {
    code: "IO",
    message: /the access key is unknown to the server/,
  });
  delete process.env["AWS_ACCESS_KEY_ID"];
  await assert.rejects(openStore(server.location()), {
    code: "IO",
    message: /there are no credentials: set AWS_ACCESS_KEY_ID/,
  });
  useKeys();
  await assert.rejects(openStore(server.location().replace("//farm/", "//barn/")), {
    code: "IO",
    message: /s3:\/\/barn\/: there is no such bucket: create it or name another/,
  });
});

test("a link can be read by anybody, under the name it gives, until it expires", async () => {
  const store = await openStore(server.location("links"));
  await store.put("clips/c/1/video.mp4", Buffer.from("frames"));
  const link = async (seconds: number, filename?: string) => {
    const url = await store.link?.("clips/c/1/video.mp4", {
      seconds,
      ...(filename === undefined ? {} : { filename }),
    });
    return fetch(url ?? assert.fail("a bucket gives links"));
  };
  const named = await link(60, "a red circle.mp4");
  assert.equal(await named.text(), "frames");
  assert.equal(named.headers.get("content-disposition"), 'attachment; filename="a red circle.mp4"');
  const shown = await link(60);
  assert.equal(shown.headers.get("content-type"), "video/mp4");
  assert.equal(shown.headers.get("content-disposition"), null);
  const url = (await store.link?.("clips/c/1/video.mp4", { seconds: 1 })) ?? "";
  const another = url.replace("video.mp4", "audio.mp4");
  assert.equal((await fetch(another)).status, 403, "a link is good for one key");
  await sleep(2_100);
  assert.equal((await fetch(url)).status, 403, "the link has expired");
  for (const seconds of [0, 1.5, 604_801]) {
    await assert.rejects(link(seconds), { code: "INVALID_ARGUMENT", message: /1 to 604800/ });
  }
  await assert.rejects(link(60, 'a"; b'), { code: "INVALID_ARGUMENT", message: /saves as/ });
});

test("over a thousand keys are listed, page after page", async () => {
  const store = await openStore(server.location("many"));
  const keys = Array.from({ length: 1_203 }, (_, index) => `blobs/${index % 7}/${index}`).sort();
  for (let folder = 0; folder < 7; folder += 1) {
    await mkdir(path.join(server.bucketFolder, "many", "blobs", `${folder}`), { recursive: true });
  }
  await Promise.all(keys.map((key) => writeFile(path.join(server.bucketFolder, "many", key), key)));
  assert.deepEqual(await keysOf(store), keys);
  const some = keys.filter((key) => key.startsWith("blobs/3/"));
  assert.deepEqual(await keysOf(store, "blobs/3/"), some);
});

test("what others put below the prefix is listed when it has a key's name", async () => {
  const store = await openStore(server.location("shared"));
  const other = await openStore(server.location());
  await store.put("blobs/x", Buffer.from("x"));
  await mkdir(path.join(server.bucketFolder, "shared", "foreign"));
  await writeFile(path.join(server.bucketFolder, "shared", "foreign", "an object"), "x");
  await writeFile(path.join(server.bucketFolder, "shared", "foreign", "object"), "content");
  assert.deepEqual(await keysOf(store), ["blobs/x", "foreign/object"]);
  assert.equal(await digestOf(store.get("foreign/object")), sha256(Buffer.from("content")));
  assert.ok((await keysOf(other, "shared/")).includes("shared/blobs/x"));
});
