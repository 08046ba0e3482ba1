import assert from "node:assert/strict";
import { test } from "node:test";
import { mountFinding } from "./mounts.js";

const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /mnt rw,relatime - tmpfs tmpfs rw
31 30 0:40 / /mnt/farm rw,relatime shared:9 - nfs4 nas:/farm rw,vers=4.2,hard,proto=tcp,timeo=600
32 30 0:41 / /mnt/old rw,relatime - nfs nas:/old rw,vers=3,soft,proto=tcp,lookupcache=positive
33 30 0:42 / /mnt/my\\040clips rw - xfs /dev/vdb rw
`;

test("the mount with the longest point above a folder is its file system", () => {
  const found = (folder: string) => mountFinding(mountinfo, folder).found;
  assert.equal(found("/home/me"), "ext4 at /");
  assert.equal(found("/mnt/farmer"), "tmpfs at /mnt");
  assert.equal(found("/mnt/farm/artifacts"), "nfs4 at /mnt/farm (vers=4.2,hard)");
  assert.equal(found("/mnt/my clips/a"), "xfs at /mnt/my clips");
});

test("a soft mount is refused", () => {
  const { status, found, remedy } = mountFinding(mountinfo, "/mnt/old");
  assert.equal(found, "nfs at /mnt/old (vers=3,soft,lookupcache=positive)");
  assert.equal(status, "missing");
  assert.match(remedy, /mount with `hard`/);
});
