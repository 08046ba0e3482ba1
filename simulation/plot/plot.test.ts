import assert from "node:assert/strict";
import { test } from "node:test";
import { quickStudy } from "../study/quick.js";
import { runStudy } from "../study/run.js";
import { htmlPlot, svgPlot } from "./page.js";
import { scaleTo, tickText, unitFor } from "./scale.js";
import { element, label } from "./svg.js";
import { textPlot } from "./text.js";

const result = runStudy(quickStudy({ devices: 4, clips: 40, tenants: "film:2,ads:1" }));

/** Names of elements that are opened and not closed, or closed and not open. */
function unbalanced(svg: string): readonly string[] {
  const open: string[] = [];
  for (const [, closing, name = "", own] of svg.matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
    if (own === "/") continue;
    if (closing === "") open.push(name);
    else if (open.pop() !== name) return [name];
  }
  return open;
}

test("a plot has its axes with units, its tenants, and both a light and a dark form", () => {
  const svg = svgPlot(result);
  assert.deepEqual(unbalanced(svg), []);
  for (const text of ["time (min)", "devices", "clips", "mean wait (s)", "film", "ads"]) {
    assert.ok(svg.includes(`>${text}<`), `"${text}" is in the plot`);
  }
  assert.match(svg, /prefers-color-scheme: dark/);
  assert.doesNotMatch(svg, /NaN|undefined|Infinity/);
  const page = htmlPlot(result);
  assert.ok(page.includes(svg));
  assert.doesNotMatch(page, /(?:href|src)=/, "nothing is fetched from elsewhere");
});

test("what a user named cannot break out of the plot", () => {
  const named = { ...result, name: '<script>"&' };
  assert.ok(!svgPlot(named).includes("<script>"));
  assert.equal(label("a < b & c", {}), "<text>a &lt; b &amp; c</text>");
  assert.equal(element("rect", { class: 'x"y' }), '<rect class="x&quot;y"/>');
});

test("an axis has round ticks and room for the highest value", () => {
  assert.deepEqual(scaleTo(39, 4).ticks, [0, 10, 20, 30, 40]);
  assert.deepEqual(scaleTo(1, 4).ticks.map(tickText), ["0", "0.5", "1"]);
  assert.equal(scaleTo(0, 4).at(0), 0);
  assert.equal(unitFor(100).name, "s");
  assert.equal(unitFor(3 * 3_600).name, "h");
});

test("a plot for a terminal fills its columns as high as the values", () => {
  const values = [0, 2, 4];
  const plot = textPlot({ title: "busy", values, max: 4, seconds: 30, columns: 9, rows: 2 });
  const lines = ["busy", "      4 |  █", "      0 | ██", "        0 30.0 s"];
  assert.deepEqual(plot.split("\n"), lines);
});
