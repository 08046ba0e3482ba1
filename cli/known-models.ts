// The models that can be planned by name, without their weights: folders of config.json files in
// the published layout, which come with this package.
import { readdir } from "node:fs/promises";
import path from "node:path";
import { FarmError } from "../common/errors.js";
import { packageRoot } from "../common/paths.js";
import { type ModelTexts, readModelTexts } from "../engine/model-folder.js";

const folder = path.join(packageRoot(), "models", "configs");

/** Names that knownModel takes. */
export async function knownModels(): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/**
 * The config texts of a known model or of a folder. Throws NOT_FOUND with the known names when it
 * is neither, and what readModelTexts throws.
 */
export async function namedModelTexts(nameOrFolder: string): Promise<ModelTexts> {
  const known = await knownModels();
  if (known.includes(nameOrFolder)) return readModelTexts(path.join(folder, nameOrFolder));
  return readModelTexts(nameOrFolder).catch((thrown) => {
    if (!(thrown instanceof FarmError) || thrown.code !== "NOT_FOUND") throw thrown;
    const names = `known models are ${known.join(", ")}`;
    throw new FarmError("NOT_FOUND", `${thrown.message}; ${names}`, { cause: thrown });
  });
}
