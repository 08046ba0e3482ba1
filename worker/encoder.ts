// Frames into a file by an FFmpeg child: one PNG for an image, else H.264 in MP4, or FFV1 in
// Matroska where no bit may be lost. Its arguments are chosen so that the same frames give the same
// bytes: one thread (x264's output depends on the count), bitexact flags, no metadata. The child
// dies with this process.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { FarmError } from "../common/errors.js";

export interface EncoderOptions {
  /** The file to write; whatever is there is overwritten. */
  readonly path: string;
  /** 1 = a PNG. */
  readonly frames: number;
  /** Pixels; even. */
  readonly height: number;
  readonly width: number;
  /** Of the file. */
  readonly fps: number;
  /** FFV1 instead of H.264; a PNG has no loss anyway. */
  readonly lossless?: boolean;
}

// Visually close to lossless; what upstream's users are used to.
const constantRateFactor = "18";
// Enough of FFmpeg's complaint to be of use in one line.
const complaintCharactersMax = 300;

/** FFmpeg's arguments for raw rgb24 frames on stdin. */
export function encoderArguments(options: EncoderOptions): readonly string[] {
  const { height, width, fps } = options;
  const input = [
    ...["-hide_banner", "-loglevel", "error", "-nostdin", "-y"],
    ...["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", `${width}x${height}`],
    ...["-framerate", String(fps), "-threads", "1", "-i", "pipe:0"],
  ];
  const exact = [
    ...["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"],
    ...["-threads", "1", "-filter_threads", "1"],
  ];
  return [...input, ...exact, ...outputArguments(options), `file:${options.path}`];
}

function outputArguments({ frames, lossless }: EncoderOptions): readonly string[] {
  if (frames === 1) return imageArguments;
  return lossless ? losslessArguments : videoArguments;
}

const imageArguments = ["-frames:v", "1", "-c:v", "png", "-f", "image2", "-update", "1"];
const videoArguments = [
  // Without a stated matrix every player would guess by the size of the picture.
  "-vf",
  "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+bitexact",
  ...["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"],
  ...["-color_range", "tv", "-pix_fmt", "yuv420p"],
  ...["-c:v", "libx264", "-preset", "medium", "-crf", constantRateFactor],
  ...["-movflags", "+faststart", "-f", "mp4"],
];

// Every frame by itself, its pixels as they came: FFV1 has 8 bits of red, green and blue as bgr0.
const losslessArguments = [
  ...["-c:v", "ffv1", "-level", "3", "-g", "1", "-pix_fmt", "bgr0", "-f", "matroska"],
];

/** One file in the making. `finish` or `kill` ends it. */
export class Encoder {
  readonly #child: ChildProcess;
  readonly #ended: Promise<FarmError | undefined>;
  #complaint = "";

  constructor(options: EncoderOptions) {
    // A child that is not ours does not see our IPC channel close; the kernel ends it.
    const command = ["--pdeathsig", "KILL", "--", "ffmpeg", ...encoderArguments(options)];
    this.#child = spawn("setpriv", command, { stdio: ["pipe", "ignore", "pipe"] });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-complaintCharactersMax);
    });
    // A write after FFmpeg's end fails here; its exit says why.
    this.#child.stdin?.on("error", () => {});
    this.#ended = this.#outcome();
  }

  /** Hands over frames, [count, height, width, 3] in rgb; resolves when FFmpeg has taken them. */
  async write(rgb: Uint8Array): Promise<void> {
    const { stdin } = this.#child;
    const taken = new Promise<boolean>((resolve) => {
      if (stdin === null) resolve(false);
      else stdin.write(rgb, (error) => resolve(!error));
    });
    if (await taken) return;
    throw (await this.#ended) ?? new FarmError("ENCODER_FAILED", "FFmpeg ended before its input");
  }

  /**
   * Closes the input and waits for the whole file; throws ENCODER_FAILED with FFmpeg's complaint.
   */
  async finish(): Promise<void> {
    this.#child.stdin?.end();
    const failure = await this.#ended;
    if (failure !== undefined) throw failure;
  }

  /** Ends FFmpeg at once and waits until it is gone; a half-written file may remain. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async #outcome(): Promise<FarmError | undefined> {
    try {
      const [code, signal]: unknown[] = await once(this.#child, "close");
      if (code === 0) return undefined;
      const how = signal === null ? `exit code ${String(code)}` : `signal ${String(signal)}`;
      return encoderFailure(how, this.#complaint);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return new FarmError("FAILED_PRECONDITION", `FFmpeg cannot be started: ${reason}`);
    }
  }
}

function encoderFailure(how: string, complaint: string): FarmError {
  const said = complaint.trim().replaceAll(/\s*\n\s*/g, "; ");
  if (said.includes("No space left on device")) {
    return new FarmError("IO", `FFmpeg: the disk is full: free some space (${said})`);
  }
  return new FarmError("ENCODER_FAILED", `FFmpeg ended with ${how}: ${said || "no message"}`);
}

/** FFmpeg's version; throws FAILED_PRECONDITION, naming the package, when a program is missing. */
export async function encoderVersion(): Promise<string> {
  await programOutput("setpriv", "util-linux");
  const banner = await programOutput("ffmpeg", "ffmpeg");
  return /^ffmpeg version (\S+)/.exec(banner)?.[1] ?? "unknown";
}

const versionMsMax = 10_000;

async function programOutput(program: string, packageName: string): Promise<string> {
  const argument = program === "ffmpeg" ? "-version" : "--version";
  try {
    const { stdout } = await promisify(execFile)(program, [argument], { timeout: versionMsMax });
    return stdout;
  } catch (error) {
    throw new FarmError(
      "FAILED_PRECONDITION",
      `${program} cannot be run: install the package ${packageName}`,
      { cause: error },
    );
  }
}
