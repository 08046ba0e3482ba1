// Finds and loads the native engine. Nobody else loads the .node file, so that a missing build or a
// missing system library is told the same way everywhere.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { FarmError } from "../common/errors.js";
import { packageRoot } from "../common/paths.js";
import type { NativeAddon } from "./addon-types.js";

const addonVariable = "TOCAFARM_ADDON";
const builtAddon = "build/native/bindings/tocafarm.node";
const exportedFunctions = [
  ...(["versions", "describeModel", "checkPrompts", "plan"] as const),
  ...(["createEngine", "weightsDigest"] as const),
] as const;

/** Where the addon is looked for: $TOCAFARM_ADDON, else the build folder of this checkout. */
export function addonPath(): string {
  const named = process.env[addonVariable];
  if (named !== undefined && named !== "") return resolve(named);
  return join(packageRoot(), builtAddon);
}

/**
 * The native engine, loaded once a process; throws FAILED_PRECONDITION with the command that helps.
 */
export function loadAddon(): NativeAddon {
  const path = addonPath();
  if (!existsSync(path)) {
    throw new FarmError(
      "FAILED_PRECONDITION",
      `the native engine is not built: ${path} is missing; run "npm run build"`,
    );
  }
  const addon = requireAddon(path);
  if (!isAddon(addon)) {
    throw new FarmError(
      "FAILED_PRECONDITION",
      `${path} does not export ${exportedFunctions.join(", ")}; run "npm run build" again`,
    );
  }
  return addon;
}

function requireAddon(path: string): unknown {
  try {
    const addon: unknown = createRequire(import.meta.url)(path);
    return addon;
  } catch (thrown) {
    const reason = thrown instanceof Error ? (thrown.message.split("\n")[0] ?? "") : String(thrown);
    throw new FarmError(
      "FAILED_PRECONDITION",
      `the native engine cannot be loaded: ${reason}; run "npm run build", ` +
        `and "tocafarm doctor" for missing system libraries`,
      { cause: thrown },
    );
  }
}

function isAddon(value: unknown): value is NativeAddon {
  if (typeof value !== "object" || value === null) return false;
  const exports: object = value;
  return exportedFunctions.every(
    (name) => name in exports && typeof Reflect.get(exports, name) === "function",
  );
}
