import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { availableBytes, checkMemory } from "./memory.js";

async function hostWith(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "tocafarm-memory-"));
  t.after(() => rm(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

const meminfo = "MemTotal:       16000 kB\nMemAvailable:    8000 kB\n";

test("without control groups the kernel's figure counts", async (t) => {
  const root = await hostWith(t, { "proc/meminfo": meminfo });
  assert.equal(await availableBytes(root), 8000 * 1024);
});

test("the tightest control group above the process counts, less its reclaimable pages", async (t) => {
  const root = await hostWith(t, {
    "proc/meminfo": meminfo,
    "proc/self/cgroup": "0::/pod/container\n",
    "sys/fs/cgroup/pod/memory.max": "5000000\n",
    "sys/fs/cgroup/pod/memory.current": "4000000\n",
    "sys/fs/cgroup/pod/memory.stat": "anon 1\ninactive_file 300000\n",
    "sys/fs/cgroup/pod/container/memory.max": "max\n",
    "sys/fs/cgroup/pod/container/memory.current": "4000000\n",
  });
  assert.equal(await availableBytes(root), 1_300_000);
});

test("this host has memory", async () => {
  assert.ok((await availableBytes()) > 0);
});

test("a render that does not fit is refused with needed, available and a remedy", () => {
  checkMemory(100, 100, "a render");
  assert.throws(() => checkMemory(3 * 2 ** 30, 2 ** 30, "a render"), {
    code: "OUT_OF_MEMORY",
    message: /^a render needs 3\.00 GiB and 1\.00 GiB are available: render fewer frames/,
  });
});
