// Makes a machine ready to build and run: system packages, npm packages, nats-server. It looks at
// what is there rather than at what an earlier run did, so a second run changes nothing and takes a
// fraction of a second.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import {
  digestOf,
  inRoot,
  isStamped,
  mustRun,
  outputOf,
  runTool,
  say,
  ToolError,
  writeStamp,
} from "./steps.mjs";

// Debian 12 and Ubuntu 22.04 or later have them all under these names.
const systemPackages = [
  "clang-format",
  "cmake",
  "ffmpeg",
  "g++",
  "libdnnl-dev",
  "libgtest-dev",
  "libsentencepiece-dev",
  "ninja-build",
  "nlohmann-json3-dev",
  "util-linux",
];
const nodeMajorMin = 20;

/** Does what is missing and says so; throws ToolError with the remedy where it cannot. */
export async function setUp() {
  checkPlatform();
  await installSystemPackages(systemPackages);
  await installNpmPackages();
  await installNatsServer();
}

function checkPlatform() {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new ToolError(
      `this is ${process.platform}-${process.arch}; tocafarm runs on Linux x86-64 only`,
    );
  }
  if (Number(process.versions.node.split(".")[0]) < nodeMajorMin) {
    throw new ToolError(
      `Node is ${process.versions.node}, ${nodeMajorMin} or later is needed: https://nodejs.org`,
    );
  }
}

async function installSystemPackages(wanted) {
  const missing = missingSystemPackages(wanted);
  if (missing.length === 0) return;
  const list = missing.join(" ");
  if (outputOf("apt-get", ["--version"]) === null) {
    throw new ToolError(
      `these Debian packages, or what your system calls them, are needed: ${list}`,
    );
  }
  const install = `apt-get install --no-install-recommends ${list}`;
  if (process.getuid?.() !== 0) {
    throw new ToolError(`packages are missing; run: sudo apt-get update && sudo ${install}`);
  }
  say(`installing system packages: ${list}`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await mustRun("apt-get", ["update", "-q"], { quiet: true, env });
  const args = ["install", "-q", "-y", "--no-install-recommends", ...missing];
  await mustRun("apt-get", args, { quiet: true, env });
}

/** Without dpkg nothing is known: then the commands and headers themselves are looked for. */
function missingSystemPackages(wanted) {
  if (outputOf("dpkg", ["--version"]) === null) {
    return wanted.filter((name) => !witnesses(name).some((file) => existsSync(file)));
  }
  // dpkg fails when one name is unknown to it, so each is asked on its own.
  return wanted.filter(
    (name) => !outputOf("dpkg", ["-s", name])?.includes("Status: install ok installed"),
  );
}

const witnessOf = {
  "clang-format": "bin/clang-format",
  cmake: "bin/cmake",
  ffmpeg: "bin/ffmpeg",
  "g++": "bin/g++",
  "libdnnl-dev": "include/oneapi/dnnl/dnnl.hpp",
  "libgtest-dev": "include/gtest/gtest.h",
  "libsentencepiece-dev": "include/sentencepiece_processor.h",
  "ninja-build": "bin/ninja",
  "nlohmann-json3-dev": "include/nlohmann/json.hpp",
  "python3-venv": "share/doc/python3-venv",
  strace: "bin/strace",
  "redis-server": "bin/redis-server",
  "util-linux": "bin/setpriv",
};

function witnesses(name) {
  return ["/usr", "/usr/local"].map((prefix) => path.join(prefix, witnessOf[name]));
}

async function installNpmPackages() {
  if (npmPackagesMatch()) return;
  say("installing npm packages: npm ci");
  await mustRun("npm", ["ci", "--no-audit", "--no-fund"], { quiet: true });
}

/**
 * Whether node_modules holds just what package-lock.json names (less what is for other platforms).
 */
function npmPackagesMatch() {
  const installedFile = inRoot("node_modules", ".package-lock.json");
  if (!existsSync(installedFile)) return false;
  const wanted = lockedPackages(inRoot("package-lock.json"));
  const installed = lockedPackages(installedFile);
  const namesRight = Object.entries(wanted).every(
    ([name, { version, optional }]) =>
      name === "" || installed[name]?.version === version || (optional && !installed[name]),
  );
  return namesRight && Object.keys(installed).every((name) => wanted[name] !== undefined);
}

function lockedPackages(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages;
}

/** On top, what only the tests need: nobody who wants to see a demo waits for it. */
export async function setUpTests() {
  await installSystemPackages(["strace"]);
  await installS3Server();
}

/** On top, what only the benchmarks need: the queue that the farm is set against. */
export function setUpBench() {
  return installSystemPackages(["redis-server"]);
}

/** PyTorch and its models, in an environment of their own; resolves to its Python. 6 GB. */
export function setUpPeers() {
  return installPython("peers", "PyTorch, diffusers and transformers");
}

/** What draws the benchmarks' plots; resolves to its Python. */
export function setUpPlots() {
  return installPython("plots", "matplotlib");
}

async function installPython(name, what) {
  const folder = inRoot(".tools", name);
  const requirements = `bench/${name}/requirements.txt`;
  const python = path.join(folder, "bin", "python");
  const stamp = path.join(folder, "installed");
  const digest = digestOf([requirements]);
  if (isStamped(stamp, digest)) return python;
  await installSystemPackages(["python3-venv"]);
  say(`installing ${what}: pip`);
  await mustRun("python3", ["-m", "venv", "--clear", folder], { quiet: true });
  const install = ["-m", "pip", "install", "-q", "-r", inRoot(requirements)];
  await mustRun(python, install, { quiet: true });
  writeStamp(stamp, digest);
  return python;
}

function installNatsServer() {
  return installGoProgram({
    name: "nats-server",
    version: pinnedVersions().natsServer,
    source: "github.com/nats-io/nats-server/v2",
  });
}

/** The S3 server that the store's tests run against. It learns its version from the linker. */
function installS3Server() {
  const { s3Server: version } = pinnedVersions();
  return installGoProgram({
    name: "versitygw",
    version,
    source: "github.com/versity/versitygw/cmd/versitygw",
    flags: ["-ldflags", `-s -w -X main.Version=${version}`],
  });
}

function pinnedVersions() {
  return JSON.parse(readFileSync(inRoot("tools", "versions.json"), "utf8"));
}

/** Builds a program into .tools/bin unless that version is there; `source` is its main package. */
async function installGoProgram({ name, version, source, flags = [] }) {
  const folder = inRoot(".tools", "bin");
  const told = outputOf(path.join(folder, name), ["--version"])?.trim().split("\n")[0];
  if (told?.endsWith(` ${version}`)) return;
  const go = [outputOf("go", ["version"]) && "go", "/usr/local/go/bin/go"].find(
    (candidate) => candidate && outputOf(candidate, ["version"]) !== null,
  );
  if (go === undefined) {
    throw new ToolError(
      `Go is needed to build ${name} ${version}: https://go.dev/dl, or Debian's golang-go; ` +
        `or put that ${name} into ${folder}`,
    );
  }
  say(`building ${name} ${version}: go install (about a minute)`);
  const env = { GOBIN: folder };
  await mustRun(go, ["install", ...flags, `${source}@${version}`], { quiet: true, env });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runTool(async () => {
    await setUp();
    console.log("set-up is complete; next: npm run demo, or npm test");
  });
}
