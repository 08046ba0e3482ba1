// `tocafarm doctor --artifacts`: it finds nothing amiss where nothing is, and says what is amiss on
// stores that are really broken: full, sealed, not shared, not atomic, refusing.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import type { Finding } from "../../cli/findings.js";
import { PeerProcess } from "../../cli/folder-peer-process.js";
import { versionText } from "../../cli/folder-probe.js";
import { packageRoot } from "../../common/paths.js";
import { CliSandbox } from "../support/cli-process.js";
import { S3Server, useKeys } from "../support/s3-server.js";

const sandbox = new CliSandbox();
const server = await S3Server.start();
after(async () => {
  await server.dispose();
  sandbox.dispose();
});

/** The doctor's findings of the store, from the first one on. */
async function examine(...args: readonly string[]): Promise<{
  readonly status: number | null;
  readonly found: ReadonlyMap<string, Finding>;
}> {
  const { status, stdout } = await sandbox.run("doctor", "--json", "--artifacts", ...args);
  const all: readonly Finding[] = JSON.parse(stdout);
  const first = all.findIndex(({ what }) => what === "artifact store");
  return { status, found: new Map(all.slice(first).map((finding) => [finding.what, finding])) };
}

function statuses(found: ReadonlyMap<string, Finding>): Readonly<Record<string, string>> {
  return Object.fromEntries([...found].map(([what, { status }]) => [what, status]));
}

/** The command of another side, as ssh would start it. */
function peerAt(folder: string): string {
  const main = path.join(packageRoot(), "dist", "cli", "main.js");
  return `${process.execPath} ${main} doctor --artifacts ${folder} --as-peer`;
}

test("a local folder guarantees what a farm needs, and nothing is left in it", async () => {
  const folder = sandbox.path("store");
  const { status, found } = await examine(folder);
  assert.deepEqual(statuses(found), {
    "artifact store": "ok",
    "store and fetch": "ok",
    mount: "ok",
    "free space": "ok",
    fsync: "ok",
    speed: "ok",
    "other side": "ok",
    "seen by others": "ok",
    "rename replaces": "ok",
    "exclusive create": "ok",
    clocks: "ok",
  });
  assert.equal(status, 0);
  assert.match(found.get("rename replaces")?.found ?? "", /^\d+ reads during \d+ renames/);
  assert.deepEqual(readdirSync(folder), []);
});

test("the other side may have the folder at another place", async (t) => {
  const [here, there] = [sandbox.path("here"), sandbox.path("there")];
  for (const folder of [here, there]) mkdirSync(folder);
  if (spawnSync("mount", ["--bind", here, there]).status !== 0) {
    t.skip("only root can mount a folder a second time");
    return;
  }
  t.after(() => spawnSync("umount", [there]));
  const { status, found } = await examine(here, "--peer", peerAt(there));
  assert.equal(status, 0, JSON.stringify([...found.values()]));
});

test("another side that sees another folder, or does not answer, is told", async () => {
  const folder = sandbox.path("mine");
  const other = await examine(folder, "--peer", peerAt(sandbox.path("theirs")));
  assert.equal(other.status, 1);
  assert.match(other.found.get("other side")?.found ?? "", /sees another folder/);
  assert.equal(other.found.has("rename replaces"), false, "what follows would mean nothing");
  const mute = await examine(folder, "--peer", "echo no such host >&2; exit 255");
  assert.equal(mute.status, 1);
  assert.match(mute.found.get("other side")?.found ?? "", /answers "nothing" \(no such host\)/);
  const chatty = await examine(folder, "--peer", "echo Welcome; cat");
  assert.match(chatty.found.get("other side")?.found ?? "", /it answers "Welcome"/);
});

test("a reader notices a writer that does not rename, but writes in place", async (t) => {
  const folder = sandbox.path("in-place");
  mkdirSync(folder);
  const peer = new PeerProcess(folder, undefined);
  t.after(() => peer.stop());
  let watching = true;
  const watched = peer.tell({ do: "watch", name: "file", last: 5_000 }).finally(() => {
    watching = false;
  });
  for (let version = 1; watching; version = Math.min(version + 1, 5_000)) {
    writeFileSync(path.join(folder, "file"), versionText(version));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { reads, torn, ended } = await watched;
  assert.ok(ended && reads > 0);
  assert.ok(torn > 0, `none of ${reads} reads saw half a file`);
});

test("a full disk and a sealed folder are told with what to do", async (t) => {
  const folder = sandbox.path("small");
  mkdirSync(folder);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]).status !== 0) {
    t.skip("only root can mount a small file system");
    return;
  }
  t.after(() => spawnSync("umount", [folder]));
  const small = await examine(folder);
  assert.equal(small.status, 1);
  assert.match(small.found.get("free space")?.remedy ?? "", /free 1.00 GiB or more/);
  assert.match(small.found.get("speed")?.found ?? "", /no space left/);
  assert.equal(small.found.get("rename replaces")?.status, "ok", "the rest is tried all the same");
  assert.deepEqual(readdirSync(folder), []);
  spawnSync("mount", ["-o", "remount,ro", folder]);
  const sealed = await examine(folder);
  assert.equal(sealed.status, 1);
  assert.match(sealed.found.get("artifact store")?.found ?? "", /the file system is read-only/);
});

test("a bucket does what a farm needs, and nothing is left in it", async () => {
  const { status, found } = await examine(server.location("doctored"));
  assert.deepEqual(statuses(found), {
    "artifact store": "ok",
    "store and fetch": "ok",
    "upload in parts": "ok",
    links: "ok",
    clocks: "ok",
    "unfinished uploads": "ok",
  });
  assert.equal(status, 0);
  assert.ok(!readdirSync(server.bucketFolder).includes("doctored"));
});

test("a bucket that does not open is told with what to do", async (t) => {
  t.after(() => useKeys());
  const gone = await examine(server.location().replace("//farm/", "//barn/"));
  assert.equal(gone.status, 1);
  assert.match(gone.found.get("artifact store")?.found ?? "", /there is no such bucket/);
  useKeys("test-access-key", "another-secret");
  const refused = await examine(server.location());
  assert.match(refused.found.get("artifact store")?.found ?? "", /the secret key is wrong/);
});

test("a location that cannot be meant is refused", async () => {
  const secret = await sandbox.run("doctor", "--artifacts", "s3://me:hunter2@farm");
  assert.equal(secret.status, 2);
  assert.match(secret.stderr, /INVALID_ARGUMENT: the artifact location holds credentials/);
  const peer = await sandbox.run("doctor", "--artifacts", "s3://farm", "--peer", "ssh node2");
  assert.match(peer.stderr, /--peer and --as-peer need --artifacts with a folder/);
});
