// What a farm needs of a machine, one check a line. Packages are named as Debian 12 and Ubuntu
// 22.04 and later have them.
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { availableParallelism, freemem, totalmem } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { asFarmError } from "../common/errors.js";
import { makeFolders } from "../common/folders.js";
import { packageRoot } from "../common/paths.js";
import { engineVersions } from "../engine/engine.js";
import { type Finding, missing, note, ok } from "./findings.js";
import { goldenRunnerPath } from "./golden-runner.js";
import { bytes } from "./table.js";

const nodeMajorMin = 20;
// The demo model needs a tenth of this; the published models need 20 GiB.
const memoryBytesMin = 2 * 1024 ** 3;

/** Every check, in the order in which things are needed. */
export async function findings(dataFolder: string): Promise<readonly Finding[]> {
  return Promise.all([
    platform(),
    node(),
    command({ what: "setpriv", file: "setpriv", args: ["--version"], apt: "util-linux" }),
    ffmpeg(),
    natsServer(),
    addon(),
    goldenRunner(),
    processor(),
    memory(),
    dataWritable(dataFolder),
  ]);
}

function platform(): Finding {
  const found = `${process.platform} ${process.arch}`;
  if (found === "linux x64") return ok("platform", found);
  return missing("platform", found, "use Linux on x86-64");
}

function node(): Finding {
  const found = process.versions.node;
  if (Number(found.split(".")[0]) >= nodeMajorMin) return ok("node", found);
  return missing("node", found, `install Node ${nodeMajorMin} or later: https://nodejs.org`);
}

const run = promisify(execFile);

/** The output of a command, or null when it is missing or fails. */
async function output(file: string, args: readonly string[]): Promise<string | null> {
  try {
    return (await run(file, args)).stdout;
  } catch {
    return null;
  }
}

interface CommandCheck {
  readonly what: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly apt: string;
}

async function command({ what, file, args, apt }: CommandCheck): Promise<Finding> {
  const text = await output(file, args);
  if (text === null) return missing(what, "not found", `apt-get install ${apt}`);
  return ok(what, text.trim().split("\n")[0] ?? "");
}

async function ffmpeg(): Promise<Finding> {
  const encoders = await output("ffmpeg", ["-hide_banner", "-encoders"]);
  if (encoders === null) return missing("ffmpeg", "not found", "apt-get install ffmpeg");
  if (!encoders.includes("libx264")) {
    return missing("ffmpeg", "built without libx264", "install Debian's or Ubuntu's ffmpeg");
  }
  const version = (await output("ffmpeg", ["-version"])) ?? "";
  return ok("ffmpeg", `${/ffmpeg version (\S+)/.exec(version)?.[1] ?? "?"} with libx264`);
}

async function natsServer(): Promise<Finding> {
  const own = path.join(packageRoot(), ".tools", "bin", "nats-server");
  const file = process.env["TOCAFARM_NATS_SERVER"] ?? (existsSync(own) ? own : "nats-server");
  const text = await output(file, ["--version"]);
  if (text === null) return missing("nats-server", `${file} does not run`, "npm run setup");
  return ok("nats-server", text.trim().replace(/^nats-server: /, ""));
}

function addon(): Finding {
  try {
    const { engine, onednn, isa, sentencepiece } = engineVersions();
    const text = sentencepiece ? "with SentencePiece" : "without SentencePiece";
    const found = `engine ${engine}, oneDNN ${onednn}, ${isa}, ${text}`;
    if (sentencepiece) return ok("native engine", found);
    return missing(
      "native engine",
      found,
      "apt-get install libsentencepiece-dev, then npm run build",
    );
  } catch (thrown) {
    return missing("native engine", asFarmError(thrown).message, "npm run build");
  }
}

function goldenRunner(): Finding {
  if (existsSync(goldenRunnerPath())) return ok("golden runner", "built");
  return missing("golden runner", "not built", "npm run build");
}

function processor(): Finding {
  const info = readFileSync("/proc/cpuinfo", "utf8");
  const model = /^model name\s*: (.*)$/m.exec(info)?.[1] ?? "unknown";
  const flags = new Set(/^flags\s*: (.*)$/m.exec(info)?.[1]?.split(" "));
  const sets = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"].filter((set) => flags.has(set));
  const found = `${model}, ${availableParallelism()} cores, ${sets.join(" ") || "no AVX2"}`;
  if (sets.length > 0) return ok("processor", found);
  return note("processor", found, "renders will be slow");
}

function memory(): Finding {
  const found = `${bytes(freemem())} free of ${bytes(totalmem())}`;
  if (totalmem() >= memoryBytesMin) return ok("memory", found);
  return note("memory", found, `${bytes(memoryBytesMin)} or more are recommended`);
}

/** Makes the folder if need be, and writes, syncs and removes a file in it. */
async function dataWritable(folder: string): Promise<Finding> {
  const probe = path.join(folder, `.doctor-${process.pid}`);
  try {
    await makeFolders(folder);
    const file = await open(probe, "wx");
    await file.sync();
    await file.close();
    await rm(probe);
    return ok("data folder", folder);
  } catch (thrown) {
    const { message } = asFarmError(thrown);
    return missing("data folder", message, "set TOCAFARM_DATA to a folder that can be written to");
  }
}
