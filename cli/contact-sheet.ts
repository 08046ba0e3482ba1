// One picture of a whole batch: the middle frame of every clip in a grid, so that a person sees at
// a glance what came out.
import { rename, rm } from "node:fs/promises";
import { runFfmpeg } from "./ffmpeg.js";

export interface SheetClip {
  readonly file: string;
  readonly frames: number;
}

// A cell is wide enough to recognise a scene; a sheet of this many is still a picture.
const cellColumnsMax = 320;
export const sheetClipsMax = 100;
const gapPixels = 4;

export interface SheetOptions {
  readonly clips: readonly SheetClip[];
  /** Of every clip, in pixels. */
  readonly height: number;
  readonly width: number;
  readonly output: string;
}

/**
 * Writes a PNG. At most sheetClipsMax clips are shown. Throws ENCODER_FAILED with FFmpeg's words.
 */
export async function writeContactSheet(options: SheetOptions): Promise<void> {
  const clips = options.clips.slice(0, sheetClipsMax);
  const scale = Math.min(1, cellColumnsMax / options.width);
  const width = Math.max(1, Math.round(options.width * scale));
  const height = Math.max(1, Math.round(options.height * scale));
  const cells: Buffer[] = [];
  for (const clip of clips) cells.push(await middleFrame(clip, width, height));
  const columns = Math.ceil(Math.sqrt(clips.length));
  const rows = Math.ceil(clips.length / columns);
  const part = `${options.output}.part`;
  const grid = `tile=${columns}x${rows}:padding=${gapPixels}:margin=${gapPixels}:color=white`;
  const input = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", `${width}x${height}`, "-i", "-"];
  const output = ["-vf", grid, "-frames:v", "1", "-f", "image2", "-c:v", "png", "-y", part];
  try {
    await runFfmpeg(["-v", "error", ...input, ...output], {
      purpose,
      input: Buffer.concat(cells),
    });
    await rename(part, options.output);
  } finally {
    await rm(part, { force: true });
  }
}

const purpose = "the contact sheet was not made";

async function middleFrame(clip: SheetClip, width: number, height: number): Promise<Buffer> {
  const middle = Math.floor(clip.frames / 2);
  const filter = `select=eq(n\\,${middle}),scale=${width}:${height}`;
  const output = ["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
  const args = ["-v", "error", "-i", clip.file, "-vf", filter, ...output];
  return (await runFfmpeg(args, { purpose })).stdout;
}
