// How near a clip is to the one under policy none, measured on frames without loss: PSNR, SSIM and,
// where FFmpeg has libvmaf, VMAF by FFmpeg's filters, MS-SSIM by ours.

import { FarmError } from "../../common/errors.js";
import { rgbFrames, runFfmpeg } from "../ffmpeg.js";
import { lumaOf, msSsim, scalesOf } from "./ms-ssim.js";

export interface Quality {
  /** Of the mean squared error over all pixels, colours and frames; equal clips count as 100 dB. */
  readonly psnrDb: number;
  /** Mean over red, green, blue and frames, as FFmpeg's ssim filter has it; 1 = equal. */
  readonly ssim: number;
  /** Mean over frames; null = the frames are too small for one scale. */
  readonly msSsim: number | null;
  /** Mean over frames, up to 100; null = not measured. */
  readonly vmaf: number | null;
}

export interface QualityOptions {
  /** A file without loss: FFV1 or PNG. */
  readonly file: string;
  readonly reference: string;
  /** Pixels, of both. */
  readonly height: number;
  readonly width: number;
  readonly vmaf: boolean;
  readonly signal: AbortSignal;
}

// What evaluation scripts of the field give frames that are equal, so that means stay finite.
const psnrOfEqualDb = 100;
// libvmaf crashes on 16 pixels; below this its model says nothing anyway.
const vmafSideMin = 32;
const purpose = "the clips were not compared";

/** Throws ENCODER_FAILED with FFmpeg's words, and the signal's reason on abort. */
export async function measureQuality(options: QualityOptions): Promise<Quality> {
  const { height, width, signal } = options;
  const withVmaf = options.vmaf && Math.min(height, width) >= vmafSideMin;
  const args = ["-v", "info", "-i", `file:${options.file}`, "-i", `file:${options.reference}`];
  const graph = withVmaf ? `${rgbFilters};${vmafFilter}` : rgbFilters;
  const { stderr } = await runFfmpeg(
    [...args, "-filter_complex_threads", "1", "-lavfi", graph, "-f", "null", "-"],
    { purpose, signal },
  );
  const vmaf = withVmaf ? figure(stderr, /VMAF score: ([\d.]+)/) : null;
  return { ...figuresOf(stderr), msSsim: await meanMsSsim(options), vmaf };
}

const rgbFilters =
  "[0:v]format=gbrp,split[a0][a1];[1:v]format=gbrp,split[b0][b1];[a0][b0]psnr;[a1][b1]ssim";
const vmafFilter = "[0:v]format=yuv420p[a2];[1:v]format=yuv420p[b2];[a2][b2]libvmaf=n_threads=1";

/** PSNR and SSIM of the lines in which the filters sum up. */
function figuresOf(stderr: string): Pick<Quality, "psnrDb" | "ssim"> {
  const psnrDb = figure(stderr, /PSNR .*average:(\S+)/);
  const ssim = figure(stderr, /SSIM .*All:([\d.]+)/);
  return { psnrDb: Math.min(psnrDb, psnrOfEqualDb), ssim };
}

function figure(text: string, pattern: RegExp): number {
  const value = pattern.exec(text)?.[1];
  if (value === "inf") return Number.POSITIVE_INFINITY;
  if (value === undefined || !Number.isFinite(Number(value))) {
    throw new FarmError("ENCODER_FAILED", `${purpose}: ffmpeg's output has no ${pattern.source}`);
  }
  return Number(value);
}

/** Both files are read frame by frame: a long clip takes no more memory than a short one. */
async function meanMsSsim(options: QualityOptions): Promise<number | null> {
  const { file, reference, height, width, signal } = options;
  if (scalesOf(height, width) === 0) return null;
  const frameBytes = height * width * 3;
  const others = rgbFrames(reference, { frameBytes, purpose });
  let [sum, count] = [0, 0];
  try {
    for await (const frame of rgbFrames(file, { frameBytes, purpose })) {
      signal.throwIfAborted();
      const other = await others.next();
      if (other.done) throw unequal();
      sum += msSsim(lumaOf(frame, height, width), lumaOf(other.value, height, width));
      count++;
    }
    if (count === 0 || !(await others.next()).done) throw unequal();
  } finally {
    await others.return(undefined);
  }
  return sum / count;
}

function unequal(): FarmError {
  return new FarmError("ENCODER_FAILED", `${purpose}: they have different counts of frames`);
}

/** Whether FFmpeg was built with libvmaf. */
export async function hasVmaf(signal: AbortSignal): Promise<boolean> {
  const { stdout } = await runFfmpeg(["-v", "error", "-filters"], { purpose, signal });
  return / libvmaf /.test(stdout.toString());
}
