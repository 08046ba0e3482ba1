// FFmpeg itself measures here, on clips whose difference is known pixel by pixel.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runFfmpeg } from "../ffmpeg.js";
import { hasVmaf, measureQuality } from "./quality.js";

const folder = mkdtempSync(join(tmpdir(), "tocafarm-quality-"));
after(() => rmSync(folder, { recursive: true }));

const side = 32;
const signal = new AbortController().signal;

/** A clip of frames of one grey each, without loss. */
async function clip(name: string, ...greys: readonly number[]): Promise<string> {
  const file = join(folder, name);
  const frames = greys.map((grey) => Buffer.alloc(side * side * 3, grey));
  const raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", `${side}x${side}`, "-i", "-"];
  const written = ["-c:v", "ffv1", "-pix_fmt", "bgr0", "-f", "matroska", "-y", file];
  await runFfmpeg([...raw, ...written], { purpose: "test", input: Buffer.concat(frames) });
  return file;
}

function measure(file: string, reference: string) {
  return measureQuality({ file, reference, height: side, width: side, vmaf: false, signal });
}

test("equal clips have 100 dB and are alike", async () => {
  const file = await clip("equal.mkv", 10, 200);
  assert.deepEqual(await measure(file, file), { psnrDb: 100, ssim: 1, msSsim: 1, vmaf: null });
});

test("the error is averaged over frames before it becomes decibels", async () => {
  const a = await clip("a.mkv", 100, 100);
  const b = await clip("b.mkv", 100, 110);
  const { psnrDb, ssim, msSsim } = await measure(a, b);
  // The mean of 0 and 10^2 is 50: 10 log10(255^2 / 50).
  assert.ok(Math.abs(psnrDb - 31.1412) < 1e-3, `${psnrDb}`);
  // Flat frames differ in luminance: (2 100 110 + C1) / (100^2 + 110^2 + C1) = 0.995476, and 1.
  assert.ok(Math.abs(ssim - 0.997738) < 1e-4, `${ssim}`);
  // Two scales: to the power of the second one's share of the exponents, 0.2856 / 0.3304.
  assert.ok(Math.abs(Number(msSsim) - (1 + 0.995476 ** 0.8644068) / 2) < 1e-6, `${msSsim}`);
});

test("clips of different length are refused", async () => {
  const [one, two] = [await clip("one.mkv", 1), await clip("two.mkv", 1, 2)];
  await assert.rejects(measure(one, two), /different counts of frames/);
  await assert.rejects(measure(two, one), /different counts of frames/);
});

test("what is no clip is told with FFmpeg's words", async () => {
  const file = await clip("there.mkv", 1);
  await assert.rejects(measure(file, join(folder, "absent.mkv")), {
    code: "ENCODER_FAILED",
    message: /were not compared.*No such file/,
  });
});

test("an abort ends the measuring", async () => {
  const file = await clip("aborted.mkv", 1);
  const aborted = AbortSignal.abort(new Error("enough"));
  const options = { file, reference: file, height: side, width: side, vmaf: false };
  await assert.rejects(measureQuality({ ...options, signal: aborted }), /enough/);
});

test("VMAF is measured where FFmpeg can, and is null elsewhere", async () => {
  const file = await clip("vmaf.mkv", 50, 60);
  const vmaf = await hasVmaf(signal);
  const options = { file, reference: file, height: side, width: side, vmaf, signal };
  const { vmaf: score } = await measureQuality(options);
  if (vmaf) assert.ok(Number(score) > 90, `${score}`);
  else assert.equal(score, null);
});
