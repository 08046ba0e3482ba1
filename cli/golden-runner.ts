// The native golden runner, which compares numbers: a program of its own, since a GPU machine may
// have no Node.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { FarmError } from "../common/errors.js";
import { packageRoot } from "../common/paths.js";
import { type GoldenCase, isRecord } from "./golden-case.js";

/** One thing that was compared. */
export interface GoldenRow {
  readonly case: string;
  readonly kind: string;
  readonly what: string;
  /**
   * Largest absolute error, decibels or a count, as `unit` says; null = it could not be compared.
   */
  readonly error: number | null;
  readonly bound: number | null;
  /** "abs": error <= bound, "dB": error >= bound, "count": error <= bound. */
  readonly unit: string;
  /** Rows of token selections that differ within a tie. */
  readonly selectionsExcused: number;
  readonly passed: boolean;
  readonly note: string;
}

export interface RunnerOptions {
  readonly device: string;
  readonly dtype: string;
  readonly model?: string;
}

export function goldenRunnerPath(): string {
  return path.join(packageRoot(), "build", "native", "golden", "golden_runner");
}

/** Throws FAILED_PRECONDITION when it is not built, INTERNAL when it ends without an answer. */
export async function runNativeCase(
  golden: GoldenCase,
  options: RunnerOptions,
  signal: AbortSignal,
): Promise<readonly GoldenRow[]> {
  const runner = goldenRunnerPath();
  if (!existsSync(runner)) {
    throw new FarmError("FAILED_PRECONDITION", `${runner} is not built: run "npm run build"`);
  }
  const { device, dtype, model } = options;
  const overrides = model === undefined ? [] : ["--model", model];
  const args = ["--json", "--device", device, "--dtype", dtype, ...overrides, golden.folder];
  const { stdout, stderr, status } = await collect(runner, args, signal);
  try {
    const rows: unknown = JSON.parse(stdout);
    if (Array.isArray(rows)) return rows.map((entry) => goldenRow(golden, entry));
  } catch {
    // No answer: what it said instead is the error.
  }
  const said = stderr
    .trim()
    .replace(/^golden_runner: /, "")
    .split("\n")[0];
  throw new FarmError("INTERNAL", `${golden.folder}: the golden runner ended (${status}): ${said}`);
}

function goldenRow(golden: GoldenCase, entry: unknown): GoldenRow {
  const fields = isRecord(entry) ? entry : {};
  const number = (name: string) => (typeof fields[name] === "number" ? fields[name] : null);
  const word = (name: string) => (typeof fields[name] === "string" ? fields[name] : "");
  const code = word("code");
  return {
    case: golden.name,
    kind: golden.kind,
    what: word("what"),
    error: number("error"),
    bound: number("bound"),
    unit: word("unit"),
    selectionsExcused: number("selectionsExcused") ?? 0,
    passed: fields["passed"] === true,
    note: code === "" ? word("note") : `${code}: ${word("note")}`,
  };
}

interface Collected {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: string;
}

function collect(file: string, args: readonly string[], signal: AbortSignal): Promise<Collected> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], signal });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.once("error", (error) => reject(signal.aborted ? signal.reason : error));
    child.once("close", (code, killed) => {
      const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString();
      const status = killed ?? `status ${code}`;
      resolve({ stdout: text(stdout), stderr: text(stderr), status });
    });
  });
}
