// Adds to package-lock.json the optional packages of other platforms that the registry in use did
// not have when `npm install` wrote it. npm installs none of them on Linux x86-64, but `npm ci`
// refuses a lock file that does not name them.
import { readFileSync, writeFileSync } from "node:fs";
import { inRoot, runTool, ToolError } from "./steps.mjs";

const platform =
  /-(android|darwin|linux|win32)-(arm64|aarch64|x64|armv7|arm|ppc64|riscv64|s390x|ia32|loong64)(-musl)?$/;
const cpuNames = { aarch64: "arm64", armv7: "arm" };

/** The packages that a lock file should name and does not, as [name, entry]. */
function missingFromLock({ packages }) {
  return Object.values(packages).flatMap((parent) =>
    Object.entries(parent.optionalDependencies ?? {})
      .filter(([name]) => packages[`node_modules/${name}`] === undefined)
      .map(([name, version]) => [name, entryOf(name, version, parent.dev === true)]),
  );
}

function entryOf(name, version, dev) {
  const match = platform.exec(name);
  if (match === null)
    throw new ToolError(`${name} names no platform: npm install it where it exists`);
  const [, os, cpu, musl] = match;
  return {
    version,
    cpu: [cpuNames[cpu] ?? cpu],
    ...(dev ? { dev } : {}),
    ...(musl ? { libc: ["musl"] } : {}),
    optional: true,
    os: [os],
  };
}

await runTool(async () => {
  const file = inRoot("package-lock.json");
  const lock = JSON.parse(readFileSync(file, "utf8"));
  const missing = missingFromLock(lock);
  for (const [name, entry] of missing) lock.packages[`node_modules/${name}`] = entry;
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
  lock.packages = Object.fromEntries(sorted);
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`${missing.length} packages of other platforms were added to package-lock.json`);
});
