// A model folder on disk: transformer/, vae/ and, where prompts are texts, text_encoder/ and
// tokenizer/, each as its own hub repository has it; model_index.json where the names of classes
// are, and defaults.json with the model's usual settings. Only texts are read here; weights are the
// engine's.
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { FarmError } from "../common/errors.js";
import type { NativeModelConfigs, NativeModelTraits } from "./addon-types.js";
import { describeModel } from "./plan.js";
import { requestBounds } from "./request.js";

/** A model's usual settings; a flag wins over each, and each may be missing. */
export interface ModelDefaults {
  readonly frames?: number;
  readonly height?: number;
  readonly width?: number;
  readonly fps?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly sampler?: string;
}

/** What can be planned with: no weights. */
export interface ModelTexts {
  /** The folder's base name: what batches call the model. */
  readonly name: string;
  readonly configs: NativeModelConfigs;
  readonly traits: NativeModelTraits;
  readonly defaults: ModelDefaults;
}

export interface ModelFolder extends ModelTexts {
  /** Absolute. */
  readonly path: string;
}

// Published configs have under 2 kB; defaults a few lines.
const textBytesMax = 1024 * 1024;
const namePattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/;
const subfolders = ["transformer", "vae"] as const;
const textSubfolders = ["text_encoder", "tokenizer"] as const;

/**
 * Reads the texts of a model folder. Throws NOT_FOUND for a missing folder or file,
 * INVALID_CHECKPOINT for a text that is damaged, UNSUPPORTED for a model that the engine does not
 * know, INVALID_ARGUMENT for a name that cannot be used.
 */
export async function readModelFolder(folder: string): Promise<ModelFolder> {
  const { path, name } = await namedFolder(folder);
  await checkSubfolders(path, subfolders);
  const vital = {
    transformer: await readConfig(join(path, "transformer", "config.json")),
    vae: await readConfig(join(path, "vae", "config.json")),
    modelIndex: await readModelIndex(join(path, "model_index.json")),
  };
  const traits = describeModel({ ...vital, textEncoder: "" });
  const configs = { ...vital, textEncoder: traits.prompt === "text" ? await textConfig(path) : "" };
  return { name, path, configs, traits, defaults: await readDefaults(join(path, "defaults.json")) };
}

async function textConfig(path: string): Promise<string> {
  await checkSubfolders(path, textSubfolders);
  return readConfig(join(path, "text_encoder", "config.json"));
}

async function checkSubfolders(path: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await checkFolder(join(path, name), `a folder of such a model has ${names.join(", ")}`);
  }
}

/** "" where there is none. */
async function readModelIndex(path: string): Promise<string> {
  const text = await readText(path);
  if (text !== undefined) parseObject(path, text);
  return text ?? "";
}

/**
 * Reads the config.json files of a folder that may hold nothing else: the transformer's must be
 * there, the others are "" when they are not. Throws as readModelFolder.
 */
export async function readModelTexts(folder: string): Promise<ModelTexts> {
  const { path, name } = await namedFolder(folder);
  const optional = async (part: string) => {
    const file = join(path, part, "config.json");
    const text = await readText(file);
    if (text !== undefined) parseObject(file, text);
    return text ?? "";
  };
  const configs = {
    transformer: await readConfig(join(path, "transformer", "config.json")),
    vae: await optional("vae"),
    textEncoder: await optional("text_encoder"),
    modelIndex: await readModelIndex(join(path, "model_index.json")),
  };
  const traits = describeModel(configs);
  return { name, configs, traits, defaults: await readDefaults(join(path, "defaults.json")) };
}

async function namedFolder(folder: string): Promise<{ path: string; name: string }> {
  const path = resolve(folder);
  const name = basename(path);
  if (!namePattern.test(name)) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `model folder ${path}: its name must be up to 100 letters, digits, ".", "_", "-": rename it`,
    );
  }
  await checkFolder(path, "give the folder of a model with --model");
  return { path, name };
}

async function checkFolder(path: string, remedy: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() !== true) {
    throw new FarmError("NOT_FOUND", `model folder ${path} is missing: ${remedy}`);
  }
}

/**
 * The text of a config.json, checked to be a JSON object; what it says is the engine's to judge.
 */
async function readConfig(path: string): Promise<string> {
  const text = await readText(path);
  if (text === undefined) {
    throw new FarmError("NOT_FOUND", `${path} is missing: download the model folder again`);
  }
  parseObject(path, text);
  return text;
}

type NumberField = Exclude<keyof ModelDefaults, "sampler">;
const numberFields: { readonly [Field in NumberField]: readonly [number, number] } = {
  frames: [1, requestBounds.framesMax],
  height: [requestBounds.sidePixelsMin, requestBounds.sidePixelsMax],
  width: [requestBounds.sidePixelsMin, requestBounds.sidePixelsMax],
  fps: [requestBounds.fpsMin, requestBounds.fpsMax],
  steps: [1, requestBounds.stepsMax],
  guidance: [0, requestBounds.guidanceMax],
};
const fractionalFields: ReadonlySet<string> = new Set(["fps", "guidance"]);

async function readDefaults(path: string): Promise<ModelDefaults> {
  const text = await readText(path);
  if (text === undefined) return {};
  const defaults: Record<string, number | string> = {};
  for (const [field, value] of Object.entries(parseObject(path, text))) {
    defaults[field] = checkedDefault(path, field, value);
  }
  return defaults;
}

/** Whether the model has such a sampler is the plan's to judge. */
function checkedDefault(path: string, field: string, value: unknown): number | string {
  if (field === "sampler") {
    if (typeof value === "string") return value;
    throw damaged(path, `has sampler = ${JSON.stringify(value)}; it must be a name`);
  }
  const bounds = Object.entries(numberFields).find(([name]) => name === field)?.[1];
  if (bounds === undefined) {
    const known = [...Object.keys(numberFields), "sampler"].join(", ");
    throw damaged(path, `has the unknown field ${JSON.stringify(field)}; known are ${known}`);
  }
  const [min, max] = bounds;
  const whole = !fractionalFields.has(field);
  const right =
    typeof value === "number" &&
    value >= min &&
    value <= max &&
    (!whole || Number.isInteger(value));
  if (!right) {
    const kind = whole ? "a whole number" : "a number";
    const said = `${field} = ${JSON.stringify(value)}`;
    throw damaged(path, `has ${said}; it must be ${kind} from ${min} to ${max}`);
  }
  return value;
}

function parseObject(path: string, text: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw damaged(path, `is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw damaged(path, "is not a JSON object");
  }
  return parsed;
}

/** The text of a small file, or undefined when there is none. */
async function readText(path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    throw new FarmError("IO", `${path} cannot be read: ${reason}`, { cause: error });
  }
  try {
    const { size } = await file.stat();
    if (size > textBytesMax) {
      throw damaged(path, `has ${size} bytes, at most ${textBytesMax} make sense`);
    }
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

function damaged(path: string, why: string): FarmError {
  return new FarmError("INVALID_CHECKPOINT", `${path} ${why}`);
}
