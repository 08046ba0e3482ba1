// The nats-server that a coordinator brings along: a child with a folder of its own, a port that
// the system chose, and a password made for this run, so that no other user of the machine can
// write to the log. It dies with its parent, however that ends; a file lock keeps a second one off
// the folder until the first is really gone.

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { sleep } from "../../common/clock.js";
import { FarmError } from "../../common/errors.js";
import { makeFolders } from "../../common/folders.js";
import type { Log } from "../../common/log.js";
import { packageRoot } from "../../common/paths.js";

export interface NatsServer {
  /** With user and password. */
  readonly url: string;
  /** Rejects when the server ends by itself. */
  readonly broken: Promise<never>;
  stop(): Promise<void>;
}

/** A server that recovers a large log may take a while. */
const startMsMax = 60_000;
const pollMs = 20;
const stopMsMax = 5_000;

/** How long an earlier server may take to die before the folder counts as in use. */
const lockSecondsMax = 5;
const lockedExitCode = 75;

/**
 * Starts a server on `folder`. Throws FAILED_PRECONDITION when it is in use or no nats-server is
 * found, UNAVAILABLE when it fails.
 */
export async function startNatsServer(folder: string, log: Log): Promise<NatsServer> {
  await makeFolders(folder, 0o700);
  for (const name of await readdir(folder)) {
    if (name.endsWith(".ports")) await rm(path.join(folder, name));
  }
  const password = randomBytes(24).toString("hex");
  const configFile = path.join(folder, "nats-server.conf");
  await writeFile(configFile, configText(folder, password), { mode: 0o600 });
  const child = spawnLocked(folder, findNatsServer(process.env), configFile);
  const said = lastLines(child, log);
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(`exit ${signal ?? code}`));
  });
  let stopping = false;
  const broken = ended.then((how) => {
    if (stopping) return new Promise<never>(() => {});
    throw startError(folder, child.exitCode, how, said());
  });
  broken.catch(() => {}); // whoever runs this server listens too
  const portsFile = path.join(folder, `nats-server_${child.pid}.ports`);
  const polling = new AbortController();
  const port = await Promise.race([portOf(portsFile, polling.signal), broken]).finally(() =>
    polling.abort(),
  );
  return {
    url: `nats://tocafarm:${password}@127.0.0.1:${port}`,
    broken,
    stop: async () => {
      stopping = true;
      child.kill("SIGTERM");
      const overdue = setTimeout(() => child.kill("SIGKILL"), stopMsMax);
      await ended;
      clearTimeout(overdue);
    },
  };
}

/**
 * Where nats-server is: $TOCAFARM_NATS_SERVER, beside this program, or on the PATH. Throws
 * FAILED_PRECONDITION.
 */
export function findNatsServer(env: Readonly<Record<string, string | undefined>>): string {
  const named = env["TOCAFARM_NATS_SERVER"];
  if (named) {
    if (isExecutable(named)) return named;
    throw new FarmError(
      "FAILED_PRECONDITION",
      `TOCAFARM_NATS_SERVER is ${named}, which is no program; set it to a nats-server`,
    );
  }
  const folders = [path.join(packageRoot(), ".tools", "bin"), ...(env["PATH"] ?? "").split(":")];
  for (const folder of folders) {
    const program = path.join(folder, "nats-server");
    if (folder !== "" && isExecutable(program)) return program;
  }
  throw new FarmError(
    "FAILED_PRECONDITION",
    "no nats-server is found; run npm run setup, or name one by TOCAFARM_NATS_SERVER or --nats URL",
  );
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * setpriv kills the server with its parent; flock holds the folder's lock for as long as the server
 * lives.
 */
function spawnLocked(folder: string, program: string, configFile: string): ChildProcess {
  const lockFile = path.join(folder, "lock");
  const flock = ["flock", "--no-fork", "--conflict-exit-code", String(lockedExitCode)];
  const wait = ["--wait", String(lockSecondsMax), lockFile];
  const server = [program, "--config", configFile];
  return spawn("setpriv", ["--pdeathsig", "KILL", "--", ...flock, ...wait, ...server], {
    stdio: ["ignore", "ignore", "pipe"],
    // Ctrl-C in a terminal is for the coordinator, which then stops its server in order.
    detached: true,
  });
}

function configText(folder: string, password: string): string {
  return [
    "# Written at every start.",
    "host: 127.0.0.1",
    "port: -1",
    `ports_file_dir: ${JSON.stringify(folder)}`,
    "jetstream {",
    `  store_dir: ${JSON.stringify(folder)}`,
    "  sync_interval: always # an acknowledged event is on disk",
    "}",
    `authorization { user: tocafarm, password: "${password}" }`,
    "",
  ].join("\n");
}

/** The port that the system chose, from the file that the server writes once it serves. */
async function portOf(portsFile: string, signal: AbortSignal): Promise<string> {
  for (let waitedMs = 0; waitedMs < startMsMax; waitedMs += pollMs) {
    if (existsSync(portsFile)) {
      const port = /"nats":\s*\[\s*"nats:\/\/[^"]*:(\d+)"/.exec(await readFile(portsFile, "utf8"));
      if (port?.[1]) return port[1];
    }
    await sleep(pollMs, signal);
  }
  throw new FarmError("UNAVAILABLE", `nats-server did not serve within ${startMsMax / 1000} s`);
}

function startError(folder: string, code: number | null, how: string, said: string): FarmError {
  if (code === lockedExitCode) {
    return new FarmError(
      "FAILED_PRECONDITION",
      `the event log in ${folder} is in use by another nats-server: ` +
        "stop it or choose another --data",
    );
  }
  return new FarmError("UNAVAILABLE", `nats-server ended (${how}): ${said || "it said nothing"}`);
}

/** Passes the server's own log on at debug level, and keeps its last error for the message. */
function lastLines(child: ChildProcess, log: Log): () => string {
  let last = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    for (const line of chunk.split("\n")) {
      if (line.trim() === "") continue;
      log.debug({ line }, "nats-server");
      if (/\[(ERR|FTL)\]|^\w+: /.test(line)) last = line.replace(/^.*\[(ERR|FTL)\] /, "").trim();
    }
  });
  return () => last;
}
