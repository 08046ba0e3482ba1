// What the tools share: where the checkout lies, how a command is run, and how an end is told. Only
// Node's own modules, since they run before `npm ci`.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Absolute path of something in the checkout. */
export function inRoot(...parts) {
  return path.join(root, ...parts);
}

/** An end that a person can do something about: told in one line, without a stack. */
export class ToolError extends Error {}

/** Runs a tool's main function; a ToolError ends it with status 1. */
export async function runTool(main) {
  try {
    process.exitCode = (await main(process.argv.slice(2))) ?? 0;
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    console.error(`tocafarm: ${error.message}`);
    process.exitCode = 1;
  }
}

/** Says what a tool is about to do. */
export function say(text) {
  console.log(`==> ${text}`);
}

// npm hands its own configuration down, which the npm of a child would warn about.
function childEnvironment(extra) {
  const env = { ...process.env, ...extra };
  env.PATH = `${inRoot("node_modules", ".bin")}${path.delimiter}${env.PATH ?? ""}`;
  return env;
}

/**
 * Runs a command in the checkout and resolves to its exit status (1 for a signal). `stdout` and
 * `stderr`, when given, get what it prints; it is shown as well unless `quiet`.
 */
export function run(command, args, { env = {}, quiet = false, stdout, stderr } = {}) {
  const piped = (sink) => (quiet || sink !== undefined ? "pipe" : "inherit");
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: childEnvironment(env),
      stdio: ["inherit", piped(stdout), piped(stderr)],
    });
    for (const [name, sink] of Object.entries({ stdout, stderr })) {
      child[name]?.on("data", (chunk) => {
        sink?.push(chunk);
        if (!quiet) process[name].write(chunk);
      });
    }
    child.once("error", (error) =>
      reject(new ToolError(`${command} cannot be run (${error.code}): ${remedyFor(command)}`)),
    );
    child.once("close", (status) => resolve(status ?? 1));
  });
}

function remedyFor(command) {
  return `npm run setup installs what is needed; check that ${command} is on the PATH`;
}

/**
 * As run, but a status other than 0 is an end. What it printed is shown then, also when `quiet`.
 */
export async function mustRun(command, args, { quiet = false, env = {} } = {}) {
  const printed = [];
  const sinks = quiet ? { stdout: printed, stderr: printed } : {};
  const status = await run(command, args, { env, quiet, ...sinks });
  if (status === 0) return;
  process.stderr.write(Buffer.concat(printed));
  throw new ToolError(`${command} ${args.slice(0, 3).join(" ")} failed with status ${status}`);
}

/** Output of a quick command, or null when it fails or is missing. */
export function outputOf(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  return result.status === 0 ? result.stdout : null;
}

/**
 * Every file below the folders whose name ends in one of `endings`, sorted, relative to the root.
 */
export function filesBelow(folders, endings) {
  const found = [];
  const visit = (folder) => {
    for (const entry of readdirSync(inRoot(folder), { withFileTypes: true })) {
      const file = path.join(folder, entry.name);
      if (entry.isDirectory()) visit(file);
      else if (endings.some((ending) => entry.name.endsWith(ending))) found.push(file);
    }
  };
  for (const folder of folders) if (existsSync(inRoot(folder))) visit(folder);
  return found.sort();
}

/** Digest of files' names and contents and of further text. */
export function digestOf(files, ...texts) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(inRoot(file)));
  for (const text of texts) hash.update(`${text}\0`);
  return hash.digest("hex");
}

/** Whether a step was done with the same inputs before. */
export function isStamped(stamp, digest) {
  return existsSync(stamp) && readFileSync(stamp, "utf8") === digest;
}

/** Remembers that a step was done. */
export function writeStamp(stamp, digest) {
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, digest);
}
