// A real worker process on the engine's test double or the engine itself, with folders of its own,
// for integration tests.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { packageRoot } from "../../common/paths.js";

const workerProgram = fileURLToPath(new URL("../../worker/main.js", import.meta.url));
const double = fileURLToPath(new URL("./engine-double.js", import.meta.url));

export interface WorkerProcessOptions {
  readonly coordinator: string;
  readonly flags?: readonly string[];
  readonly stepMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Folders of an earlier worker. */
  readonly folder?: string;
  /** The real engine instead of its test double. */
  readonly realEngine?: boolean;
  /** The store's folder, where it is not the worker's own. */
  readonly artifacts?: string;
  /** The worker is forked by a process in between, which is then `child`. */
  readonly forked?: boolean;
}

const forker = `
  const { fork } = require("node:child_process");
  fork(process.argv[1], process.argv.slice(2));`;

export interface WorkerProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly dataFolder: string;
  readonly artifactsFolder: string;
  /** Log lines, parsed as far as they are JSON. */
  readonly log: unknown[];
  /** HOST:PORT of its HTTP service, once it serves. */
  http(): Promise<string>;
  /** Resolves once it has logged this. */
  logged(message: string): Promise<void>;
  /** Exit code, or the signal's name. */
  ended(): Promise<number | string>;
}

/** Starts a worker that is killed, with what it started, when the test ends. */
export async function startWorkerProcess(
  t: TestContext,
  options: WorkerProcessOptions,
): Promise<WorkerProcess> {
  const { coordinator, flags = [], stepMs = 2, env = {}, folder, forked } = options;
  const home = folder ?? (await mkdtemp(join(tmpdir(), "tocafarm-worker-")));
  const dataFolder = join(home, "data");
  const artifactsFolder = options.artifacts ?? join(home, "artifacts");
  const command = [
    ...(forked === true ? ["--eval", forker] : []),
    ...[workerProgram, "--coordinator", coordinator, "--model", join(packageRoot(), "models/demo")],
    ...["--data", dataFolder, "--artifacts", artifactsFolder, "--id", "tester", ...flags],
  ];
  const child = spawn(process.execPath, command, {
    stdio: ["ignore", "inherit", "pipe"],
    env: {
      ...process.env,
      ...(options.realEngine === true ? {} : { TOCAFARM_ADDON: double }),
      TOCAFARM_DOUBLE_STEP_MS: String(stepMs),
      TOCAFARM_CACHE: join(home, "cache"),
      ...env,
    },
  });
  const log: unknown[] = [];
  const lines = createInterface({ input: child.stderr });
  lines.on("line", (line) => log.push(parsed(line)));
  const exit = once(child, "exit");
  const closed = once(child, "close"); // the log is whole then
  t.after(async () => {
    child.kill("SIGKILL");
    await exit;
    if (folder === undefined) await rm(home, { recursive: true, force: true });
  });
  return {
    child,
    pid: child.pid ?? 0,
    dataFolder,
    artifactsFolder,
    log,
    http: () => {
      return firstLogged(log, lines, (entry) => ("http" in entry ? String(entry.http) : undefined));
    },
    logged: async (message) => {
      await firstLogged(
        log,
        lines,
        (entry) => ("msg" in entry && entry.msg === message) || undefined,
      );
    },
    ended: async () => {
      const [code, signal]: unknown[] = await closed;
      return typeof code === "number" ? code : String(signal);
    },
  };
}

/** Process ids of everything that descends from a process, itself not included. */
export async function descendants(pid: number): Promise<readonly number[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir("/proc")) {
    const stat =
      /^\d+$/.test(name) && (await readFile(`/proc/${name}/stat`, "utf8").catch(() => ""));
    if (!stat) continue;
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state !== "Z") parents.set(Number(name), Number(parent));
  }
  const found: number[] = [];
  for (const [child] of parents) {
    for (let up = parents.get(child); up !== undefined; up = parents.get(up)) {
      if (up === pid) found.push(child);
    }
  }
  return found;
}

/** Whether the process exists and is no zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat !== "" && stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
}

/** Waits until `condition` holds; throws after the limit. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  { limitMs, what }: { readonly limitMs: number; readonly what: string },
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return line;
  }
}

/** What `pick` finds first in a line of the log, written or still to come. */
async function firstLogged<T>(
  log: readonly unknown[],
  lines: NodeJS.EventEmitter,
  pick: (entry: object) => T | undefined,
): Promise<T> {
  for (let at = 0; ; at += 1) {
    while (at >= log.length) await once(lines, "line");
    const entry = log[at];
    const picked = typeof entry === "object" && entry !== null ? pick(entry) : undefined;
    if (picked !== undefined) return picked;
  }
}
