import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, flops, seconds, share, shortened, table } from "./table.js";

test("columns are as wide as their widest cell and lines end without spaces", () => {
  const text = table(
    [
      { title: "name", text: (row: string) => row },
      { title: "n", align: "right", text: (row) => `${row.length}` },
      { title: "", text: () => "" },
    ],
    ["ä", "a much longer name"],
  );
  assert.deepEqual(text.split("\n"), [
    "name                 n",
    "ä                    1",
    "a much longer name  18",
  ]);
});

test("numbers keep the digits that matter", () => {
  assert.equal(seconds(0.123), "0.12 s");
  assert.equal(seconds(12.34), "12.3 s");
  assert.equal(seconds(245), "4 min 05 s");
  assert.equal(seconds(7380), "2 h 03 min");
  assert.equal(share(1, 3), "33.3 %");
  assert.equal(share(0, 0), "-");
  assert.equal(flops(3.274e15), "3.27 PFLOP");
  assert.equal(bytes(1536), "1.50 KiB");
  assert.equal(bytes(512), "512 B");
});

test("a long text is cut with an ellipsis, on one line", () => {
  assert.equal(shortened("a\n b", 10), "a b");
  assert.equal(shortened("abcdef", 4), "abc…");
});
