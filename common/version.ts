// The version of this package, as --version, Hello and every manifest say it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "./assert.js";
import { packageRoot } from "./paths.js";

/** Of our package.json, for example "0.1.0". */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8"));
  assert(typeof manifest === "object" && manifest !== null, "package.json holds an object");
  assert("version" in manifest && typeof manifest.version === "string", "it has a version");
  return manifest.version;
}
