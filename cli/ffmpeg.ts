// FFmpeg as a tool of the command line: run to its end, or read frame by frame. It dies with this
// process; the command line starts it nowhere else.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { FarmError } from "../common/errors.js";

export interface FfmpegOutput {
  readonly stdout: Buffer;
  /** Its last lines: what a filter sums up stands there. */
  readonly stderr: string;
}

export interface FfmpegOptions {
  /** What is not made when it fails, for the message. */
  readonly purpose: string;
  readonly input?: Buffer;
  readonly signal?: AbortSignal;
}

// Filters sum up in their last lines; what FFmpeg says of its inputs before is of no interest.
const stderrCharactersMax = 16 * 1024;
const errorCharactersMax = 300;
const quiet = ["-hide_banner", "-nostdin", "-nostats"];

/** Runs FFmpeg. Throws ENCODER_FAILED with its words, and the signal's reason on abort. */
export async function runFfmpeg(
  args: readonly string[],
  { purpose, input, signal }: FfmpegOptions,
): Promise<FfmpegOutput> {
  signal?.throwIfAborted();
  const hidden = input === undefined ? quiet : quiet.filter((flag) => flag !== "-nostdin");
  const child = start([...hidden, ...args], "pipe");
  const stop = () => child.kill("SIGKILL");
  signal?.addEventListener("abort", stop);
  try {
    const output: Buffer[] = [];
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-stderrCharactersMax);
    });
    child.stdin.on("error", () => {}); // it ended early: its status and words say why
    child.stdin.end(input);
    const status = await ended(child, purpose);
    signal?.throwIfAborted();
    if (status !== 0) throw failed(purpose, `ffmpeg ended with ${status}: ${lastWords(stderr)}`);
    return { stdout: Buffer.concat(output), stderr };
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/**
 * The frames of a file as red, green, blue, [height, width, 3] each; a reader that stops early ends
 * FFmpeg. Throws as runFfmpeg, also for a file that ends within a frame.
 */
export async function* rgbFrames(
  file: string,
  { frameBytes, purpose }: { readonly frameBytes: number; readonly purpose: string },
): AsyncGenerator<Uint8Array> {
  const output = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
  const child = start([...quiet, "-v", "error", "-i", `file:${file}`, ...output], "ignore");
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-errorCharactersMax);
  });
  const status = ended(child, purpose);
  status.catch(() => {}); // awaited below, unless the reader stops before
  try {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (; rest.length >= frameBytes; rest = rest.subarray(frameBytes)) {
        yield rest.subarray(0, frameBytes);
      }
    }
    if ((await status) !== 0) throw failed(purpose, `ffmpeg: ${lastWords(stderr)}`);
    if (rest.length > 0) throw failed(purpose, `${file} has frames of another size`);
  } finally {
    child.kill("SIGKILL");
  }
}

type Child<Input extends "pipe" | "ignore"> = ChildProcessByStdio<
  Input extends "pipe" ? Writable : null,
  Readable,
  Readable
>;

function start<Input extends "pipe" | "ignore">(args: readonly string[], input: Input) {
  const command = ["--pdeathsig", "KILL", "--", "ffmpeg", ...args];
  return spawn("setpriv", command, { stdio: [input, "pipe", "pipe"] }) as Child<Input>;
}

/** Its exit code, or the name of the signal that ended it. */
async function ended(child: Child<"pipe" | "ignore">, purpose: string): Promise<number | string> {
  try {
    const [code, signal]: unknown[] = await once(child, "close");
    return typeof code === "number" ? code : String(signal);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw failed(purpose, `ffmpeg cannot be run: ${reason}`);
  }
}

function lastWords(stderr: string): string {
  return stderr.trim().split("\n").at(-1)?.slice(0, errorCharactersMax) || "no message";
}

function failed(purpose: string, why: string): FarmError {
  return new FarmError("ENCODER_FAILED", `${purpose}: ${why}`);
}
