// Builds everything, doing only what changed: TypeScript from the proto files, dist/ from
// TypeScript, build/native/ from C++. What is up to date costs a second or two.
import { existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import {
  digestOf,
  filesBelow,
  inRoot,
  isStamped,
  mustRun,
  runTool,
  say,
  writeStamp,
} from "./steps.mjs";

/** All parts, in order. */
export async function build() {
  await generateFromProto();
  await timed("TypeScript", compileTypeScript);
  await timed("the native engine", () => buildNative("build/native", addonOptions()));
}

async function timed(what, step) {
  const startMs = performance.now();
  say(`building ${what}`);
  await step();
  console.log(`    ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
}

/** proto/gen from proto/, when a proto file, a setting or a generator's version has changed. */
export async function generateFromProto() {
  const inputs = [...filesBelow(["proto/tocafarm"], [".proto"]), "buf.gen.yaml", "buf.yaml"];
  const digest = digestOf([...inputs, "node_modules/.package-lock.json"]);
  const stamp = inRoot("build", "proto.stamp");
  const output = inRoot("proto", "gen");
  if (isStamped(stamp, digest) && existsSync(output)) return;
  say("generating TypeScript from proto/");
  rmSync(output, { recursive: true, force: true });
  await mustRun("buf", ["generate"]);
  writeStamp(stamp, digest);
}

/** dist/ from all TypeScript; fails on a type error. */
export function compileTypeScript() {
  return mustRun("tsc", ["-p", "."]);
}

/** The engine in a build folder of its own; `options` are -D settings. */
export async function buildNative(folder, options) {
  const args = ["-S", "native", "-B", folder, "-G", "Ninja", ...options];
  const stamp = inRoot(folder, "configured.stamp");
  const digest = digestOf([], ...args);
  // Ninja calls cmake again when a CMakeLists.txt changes, but knows nothing of our arguments.
  if (!isStamped(stamp, digest) || !existsSync(inRoot(folder, "build.ninja"))) {
    await mustRun("cmake", args, { quiet: true });
    writeStamp(stamp, digest);
  }
  await mustRun("ninja", ["-C", folder]);
}

// Taken from the resolved package: its own include_dir is relative to the working directory.
export function addonOptions() {
  const require = createRequire(import.meta.url);
  const headers = path.dirname(require.resolve("node-api-headers"));
  return [
    "-DTOCAFARM_ADDON=ON",
    `-DNODE_ADDON_API_DIR=${path.dirname(require.resolve("node-addon-api"))}`,
    `-DNODE_API_HEADERS_DIR=${path.join(headers, "include")}`,
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runTool(build);
