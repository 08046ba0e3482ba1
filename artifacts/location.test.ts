import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { absoluteLocation, parseLocation } from "./location.js";

test("a text without a scheme is a folder, and becomes absolute", () => {
  assert.deepEqual(parseLocation("/mnt/farm"), { kind: "folder", folder: "/mnt/farm" });
  assert.equal(absoluteLocation("artifacts"), path.resolve("artifacts"));
  assert.throws(() => parseLocation(""), { code: "INVALID_ARGUMENT", message: /is empty/ });
});

test("an S3 location names bucket, prefix, endpoint, region and style", () => {
  const text = "s3://farm/pool/a/?endpoint=https://s3.example.org:9000/&region=eu&path-style=false";
  assert.deepEqual(parseLocation(text), {
    kind: "s3",
    bucket: "farm",
    prefix: "pool/a/",
    endpoint: "https://s3.example.org:9000",
    region: "eu",
    pathStyle: false,
  });
  assert.equal(absoluteLocation(text), text);
});

test("only the bucket is needed; a server of one's own is addressed by path", () => {
  const amazon = parseLocation("s3://farm");
  assert.deepEqual(amazon, {
    kind: "s3",
    bucket: "farm",
    prefix: "",
    endpoint: undefined,
    region: undefined,
    pathStyle: false,
  });
  const own = parseLocation("s3://farm?endpoint=http://127.0.0.1:9000");
  assert.ok(own.kind === "s3" && own.pathStyle && own.endpoint === "http://127.0.0.1:9000");
});

test("a location that cannot be meant is refused with what is wrong", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["http://example.org/x", /begins with http:\/\/: give a folder or s3:\/\//],
    ["s3://", /names the bucket ""/],
    ["s3://Farm/x", /names the bucket "Farm": 3 to 63 lower-case/],
    ["s3://farm/a/../b", /artifact key "a\/..\/b" must be names/],
    ["s3://farm?endpoint=example.org", /endpoint=example.org: give a URL/],
    ["s3://farm?endpoint=ftp://example.org", /give a URL such as https/],
    ["s3://farm?path-style=maybe", /path-style=maybe: true or false/],
    ["s3://farm?zone=a", /has the setting "zone"; known are endpoint, region, path-style/],
    ["s3://farm?region=a&region=b", /must give region once/],
    ["s3://farm?region=", /must give region once, with a value/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseLocation(text), { code: "INVALID_ARGUMENT", message }, text);
  }
});

test("credentials in a location are refused, and not repeated", () => {
  for (const text of [
    "s3://AKIA:hunter2@farm/x",
    "s3://farm?access-key=hunter2",
    "s3://farm?secret=hunter2",
    "s3://farm?endpoint=https://user:hunter2@example.org",
  ]) {
    assert.throws(
      () => parseLocation(text),
      (error: Error) => /holds credentials/.test(error.message) && !/hunter2/.test(error.message),
      text,
    );
  }
});
