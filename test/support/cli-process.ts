// Runs the command line as a user does: a process of its own, with a data folder that no other test
// shares. That folder's name in the environment also tells which processes are its descendants.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { packageRoot } from "../../common/paths.js";

export interface CliResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A place for one test's files, and the command line in it. */
export class CliSandbox {
  readonly folder = mkdtempSync(path.join(tmpdir(), "tocafarm-cli-"));

  /** A path in the sandbox. */
  path(...parts: readonly string[]): string {
    return path.join(this.folder, ...parts);
  }

  start(...args: readonly string[]): CliProcess {
    const { TOCAFARM_COORDINATOR: _elsewhere, ...env } = process.env;
    return new CliProcess(args, {
      ...env,
      TOCAFARM_DATA: this.path("data"),
      TOCAFARM_CACHE: this.path("cache"),
    });
  }

  run(...args: readonly string[]): Promise<CliResult> {
    return this.start(...args).ended;
  }

  /** Processes that were started in this sandbox, by any of its commands, and still run. */
  processes(): readonly number[] {
    const mark = `TOCAFARM_DATA=${this.path("data")}\0`;
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => environmentOf(pid).includes(mark))
      .map(Number);
  }

  /** Resolves once none of its processes runs; rejects when some still do after `msMax`. */
  async allGone(msMax: number): Promise<void> {
    const startMs = performance.now();
    while (this.processes().length > 0) {
      if (performance.now() - startMs > msMax) {
        throw new Error(`processes ${this.processes().join(" ")} still run after ${msMax} ms`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Ends what a failed test left, and removes the folder. */
  dispose(): void {
    for (const pid of this.processes()) process.kill(pid, "SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function environmentOf(pid: string): string {
  try {
    return `${readFileSync(`/proc/${pid}/environ`, "latin1")}\0`;
  } catch {
    return ""; // it has ended, or is not ours
  }
}

export class CliProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<CliResult>;
  #stdout = "";
  #stderr = "";

  constructor(args: readonly string[], env: NodeJS.ProcessEnv) {
    const main = path.join(packageRoot(), "dist", "cli", "main.js");
    const child = spawn(process.execPath, [main, ...args], {
      cwd: packageRoot(),
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.on("data", (chunk: Buffer) => {
      this.#stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.child = child;
    this.ended = new Promise((resolve) => {
      child.once("close", (status) =>
        resolve({ status, stdout: this.#stdout, stderr: this.#stderr }),
      );
    });
  }

  /** Resolves when stdout or stderr has shown the text; rejects when the process ends before. */
  async shows(text: string): Promise<void> {
    const ended = this.ended.then(({ stdout, stderr }) => {
      throw new Error(`it ended without showing "${text}":\n${stdout}${stderr}`);
    });
    while (!this.#stdout.includes(text) && !this.#stderr.includes(text)) {
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 20)), ended]);
    }
  }
}
