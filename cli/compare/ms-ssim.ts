// Multi-scale structural similarity of two pictures, on their luma: Z. Wang, E. P. Simoncelli,
// A. C. Bovik, "Multi-scale structural similarity for image quality assessment" (Asilomar 2003),
// with its constants. FFmpeg has no filter for it.

/** Luma of 0 to 255, row by row. */
export interface Plane {
  readonly height: number;
  readonly width: number;
  readonly values: Float64Array;
}

// Equation 7 with the exponents of section 3.2: of contrast and structure at each scale, and of
// luminance at the last one.
const exponents = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333] as const;
const luminanceFloor = (0.01 * 255) ** 2;
const contrastFloor = (0.03 * 255) ** 2;
const windowSide = 11;
const windowSigma = 1.5;
const window = gaussian();

/**
 * Scales that a picture of this size has: the window must fit in at the coarsest one. Five are
 * published, which need 176 pixels a side; 0 = too small for any.
 */
export function scalesOf(height: number, width: number): number {
  let side = Math.min(height, width);
  let scales = 0;
  for (; scales < exponents.length && side >= windowSide; side = Math.floor(side / 2)) scales++;
  return scales;
}

/** BT.601 luma of a picture, [height, width, 3] in red, green, blue. */
export function lumaOf(rgb: Uint8Array, height: number, width: number): Plane {
  const values = new Float64Array(height * width);
  for (let at = 0, from = 0; at < values.length; at++, from += 3) {
    const [red = 0, green = 0, blue = 0] = [rgb[from], rgb[from + 1], rgb[from + 2]];
    values[at] = 0.299 * red + 0.587 * green + 0.114 * blue;
  }
  return { height, width, values };
}

/**
 * MS-SSIM of two pictures of one size, at most 1 (equal). Where the size has fewer than five scales
 * the exponents are scaled to the same sum; a negative mean of contrast and structure counts as 0.
 * The size must have a scale.
 */
export function msSsim(a: Plane, b: Plane): number {
  const scales = scalesOf(a.height, a.width);
  const used = exponents.slice(0, scales);
  const sum = used.reduce((total, exponent) => total + exponent, 0);
  let [first, second, product] = [a, b, 1];
  for (const [scale, exponent] of used.entries()) {
    const { contrast, whole } = similarity(first, second);
    const factor = scale === scales - 1 ? whole : contrast;
    product *= Math.max(0, factor) ** (exponent / sum);
    [first, second] = [halved(first), halved(second)];
  }
  return product;
}

/** Means over the picture: of contrast times structure, and of that times luminance. */
function similarity(a: Plane, b: Plane): { readonly contrast: number; readonly whole: number } {
  const meanA = filtered(a, a.values);
  const meanB = filtered(a, b.values);
  const squareA = filtered(a, products(a.values, a.values));
  const squareB = filtered(a, products(b.values, b.values));
  const product = filtered(a, products(a.values, b.values));
  let [contrastSum, wholeSum] = [0, 0];
  for (let at = 0; at < meanA.length; at++) {
    const [x, y] = [meanA[at] ?? 0, meanB[at] ?? 0];
    const variances = (squareA[at] ?? 0) - x * x + (squareB[at] ?? 0) - y * y;
    const covariance = (product[at] ?? 0) - x * y;
    const contrast = (2 * covariance + contrastFloor) / (variances + contrastFloor);
    contrastSum += contrast;
    wholeSum += (contrast * (2 * x * y + luminanceFloor)) / (x * x + y * y + luminanceFloor);
  }
  return { contrast: contrastSum / meanA.length, whole: wholeSum / meanA.length };
}

function products(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, at) => value * (b[at] ?? 0));
}

/** Values under the window, where it lies wholly in the picture. */
function filtered({ height, width }: Plane, values: Float64Array): Float64Array {
  const columns = width - windowSide + 1;
  const rows = height - windowSide + 1;
  const across = new Float64Array(height * columns);
  for (let row = 0; row < height; row++) {
    for (let tap = 0; tap < windowSide; tap++) {
      const weight = window[tap] ?? 0;
      const from = row * width + tap;
      const to = row * columns;
      for (let column = 0; column < columns; column++) {
        across[to + column] = (across[to + column] ?? 0) + weight * (values[from + column] ?? 0);
      }
    }
  }
  const result = new Float64Array(rows * columns);
  for (let tap = 0; tap < windowSide; tap++) {
    const weight = window[tap] ?? 0;
    for (let at = 0; at < result.length; at++) {
      result[at] = (result[at] ?? 0) + weight * (across[at + tap * columns] ?? 0);
    }
  }
  return result;
}

/** Means of two by two pixels; an odd last row or column is left out. */
function halved({ height, width, values }: Plane): Plane {
  const [rows, columns] = [Math.floor(height / 2), Math.floor(width / 2)];
  const result = new Float64Array(rows * columns);
  for (let at = 0; at < result.length; at++) {
    const from = 2 * Math.floor(at / columns) * width + 2 * (at % columns);
    const upper = (values[from] ?? 0) + (values[from + 1] ?? 0);
    result[at] = (upper + (values[from + width] ?? 0) + (values[from + width + 1] ?? 0)) / 4;
  }
  return { height: rows, width: columns, values: result };
}

function gaussian(): readonly number[] {
  const middle = (windowSide - 1) / 2;
  const bell = Array.from({ length: windowSide }, (_, at) =>
    Math.exp(-((at - middle) ** 2) / (2 * windowSigma ** 2)),
  );
  const sum = bell.reduce((total, value) => total + value, 0);
  return bell.map((value) => value / sum);
}
