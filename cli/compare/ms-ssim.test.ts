// Pictures whose similarity can be worked out by hand: flat ones differ in luminance alone, and a
// checkerboard of lesser contrast differs in contrast alone, at the finest scale.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lumaOf, msSsim, type Plane, scalesOf } from "./ms-ssim.js";

function plane(side: number, value: (row: number, column: number) => number): Plane {
  const values = new Float64Array(side * side);
  values.forEach((_, at) => {
    values[at] = value(Math.floor(at / side), at % side);
  });
  return { height: side, width: side, values };
}

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not near ${expected}`);
}

test("the published five scales need 176 pixels a side", () => {
  assert.equal(scalesOf(480, 854), 5);
  assert.equal(scalesOf(176, 176), 5);
  assert.equal(scalesOf(175, 400), 4);
  assert.equal(scalesOf(128, 128), 4);
  assert.equal(scalesOf(22, 22), 2);
  assert.equal(scalesOf(11, 11), 1);
  assert.equal(scalesOf(10, 100), 0);
});

test("a picture equals itself", () => {
  const picture = plane(48, (row, column) => (row * 31 + column * 17) % 256);
  near(msSsim(picture, picture), 1, 1e-12);
});

test("flat pictures differ by luminance at the last scale alone", () => {
  const [a, b] = [plane(176, () => 100), plane(176, () => 150)];
  // C1 = 6.5025; (2 100 150 + C1) / (100^2 + 150^2 + C1) = 0.9230923, to the power 0.1333 / 1.0001.
  near(msSsim(a, b), 0.98939, 1e-6);
});

test("lost contrast counts with the exponent of its scale", () => {
  const board = (contrast: number) =>
    plane(22, (row, column) => 128 + ((row + column) % 2 === 0 ? contrast : -contrast));
  // Two scales. C2 = 58.5225; (2 40 20 + C2) / (40^2 + 20^2 + C2) = 0.8056859 at the first; the
  // second one is flat. The exponent is 0.0448 / (0.0448 + 0.2856) = 0.1355932.
  near(msSsim(board(40), board(20)), 0.971129, 1e-6);
});

test("opposite structure is worth nothing, and no power of a negative number", () => {
  const board = (sign: number) =>
    plane(22, (row, column) => 128 + ((row + column) % 2 === 0 ? sign : -sign) * 100);
  assert.equal(msSsim(board(1), board(-1)), 0);
});

test("luma weighs red, green and blue as BT.601 does", () => {
  const { values } = lumaOf(Uint8Array.from([255, 0, 0, 0, 255, 0, 0, 0, 255]), 1, 3);
  [76.245, 149.685, 29.07].forEach((value, at) => {
    near(values[at] ?? 0, value, 1e-9);
  });
});
