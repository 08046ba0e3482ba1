// The options that say what a batch looks like, shared by `render`, `submit` and `estimate`: how
// they are read, and how they, the model's own defaults and what its family was published with make
// a RenderSpec.
import { type Command, Option } from "commander";
import { FarmError } from "../common/errors.js";
import type { ModelDefaults } from "../engine/model-folder.js";
import { type ModelTraits, type PlanRequest, requestBounds } from "../engine/plan.js";
import type { RenderSpec } from "../proto/gen/tocafarm/v1/render.js";
import {
  checkPrompts,
  framesOption,
  imageSizeOption,
  numberOption,
  type PolicyOptions,
  policyOption,
  readPromptFile,
  repeated,
  seedOption,
} from "./args.js";
import { policyOf } from "./policy-file.js";
import { defaultAspectRatio, defaultResolution, type FrameSize, namedSize } from "./resolutions.js";

/** As commander gives them; absent options are undefined. */
export interface SpecOptions {
  readonly prompt?: readonly string[];
  readonly prompts?: string;
  readonly frames?: number;
  readonly resolution?: string;
  readonly aspectRatio?: string;
  readonly imageSize?: readonly string[];
  readonly fps?: number;
  readonly saveFps?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly sampler?: string;
  readonly seed?: bigint;
  readonly policy?: string;
  readonly policyOption?: PolicyOptions;
  readonly preset?: string;
  readonly cacheDtype?: CacheDtype;
  readonly dtype?: "fp32" | "bf16";
  readonly aes?: number;
  readonly flow?: number;
  readonly cameraMotion?: string;
}

const cacheDtypes = ["fp32", "bf16", "fp8"] as const;
export type CacheDtype = (typeof cacheDtypes)[number];

const { stepsMax, fpsMax, guidanceMax } = requestBounds;
const positive = Number.MIN_VALUE;

const number = (name: string, min: number, max: number, fractional = true) =>
  numberOption(name, { min, max, fractional });

/** Adds the shared options to a command. */
export function addSpecOptions(command: Command): Command {
  return addPolicyOptions(addClipOptions(command));
}

/** Adds the options that decide a plan. */
export function addPlanOptions(command: Command): Command {
  return addPolicyOptions(addSizeOptions(command));
}

/** Adds the options that say what a clip shows and how large it is, but no policy. */
export function addClipOptions(command: Command): Command {
  command
    .addOption(
      new Option("--prompt <text>", "what a clip shows; may be repeated").argParser(repeated),
    )
    .option("--prompts <file>", "a UTF-8 file with one prompt a line");
  addSizeOptions(command);
  const options: readonly Option[] = [
    new Option("--save-fps <n>", "frames a second of the file [--fps]").argParser(
      number("--save-fps", positive, fpsMax),
    ),
    new Option("--seed <n>", "clip i draws from seed + i [42]").argParser(seedOption),
    new Option("--aes <n>", "append an aesthetic score, 4 to 7").argParser(number("--aes", 0, 10)),
    new Option("--flow <n>", "append a motion score, 0 to 100").argParser(
      number("--flow", 0, 1000),
    ),
    new Option("--camera-motion <text>", "append a camera motion, such as pan left"),
  ];
  for (const option of options) command.addOption(option);
  return command;
}

function addSizeOptions(command: Command): Command {
  const options: readonly Option[] = [
    new Option("--frames <n>", "frames, 1 for an image, or 2s, 4s, 8s, 16s").argParser(
      framesOption,
    ),
    new Option("--resolution <name>", "144p to 4k, or 256, 512, ... for squares"),
    new Option("--aspect-ratio <h:w>", "height to width: 9:16 is landscape"),
    new Option("--image-size <size...>", "HxW in pixels; wins over the two above"),
    new Option("--fps <n>", "frames a second told to the model").argParser(
      number("--fps", positive, fpsMax),
    ),
    new Option("--steps <n>", "denoising steps").argParser(number("--steps", 1, stepsMax, false)),
    new Option("--guidance <n>", "scale of classifier-free guidance").argParser(
      number("--guidance", 0, guidanceMax),
    ),
    new Option("--sampler <name>", "ddim or ddpm of a DiT; other models have one"),
    new Option("--dtype <type>", "precision of the engine [fp32]").choices(["fp32", "bf16"]),
  ];
  for (const option of options) command.addOption(option);
  return command;
}

function addPolicyOptions(command: Command): Command {
  return command
    .option(
      "--policy <name>",
      "caching policy by name (none, steps, fora, toca, magcache+toca, ...) or a policy file; " +
        "see docs/policies.md [none]",
    )
    .addOption(
      new Option("--policy-option <k=v>", "see docs/policies.md; may be repeated").argParser(
        policyOption("--policy-option"),
      ),
    )
    .addOption(
      new Option("--preset <name>", "or a policy by intent: preview, balanced, faithful").conflicts(
        "policy",
      ),
    )
    .addOption(cacheDtypeOption());
}

export function cacheDtypeOption(): Option {
  const option = new Option("--cache-dtype <type>", "in which a policy keeps features [fp32]");
  return option.choices(cacheDtypes);
}

/** The option that every policy has, where it is asked for. */
export function withCacheDtype(
  options: PolicyOptions = {},
  cacheDtype?: CacheDtype,
): PolicyOptions {
  return cacheDtype === undefined ? options : { ...options, cache_dtype: cacheDtype };
}

/** The prompts that the options name. Throws INVALID_ARGUMENT when there are none. */
export async function promptsOf({ prompt, prompts }: SpecOptions): Promise<readonly string[]> {
  const typed = checkPrompts(prompt ?? [], (index) => `--prompt number ${index + 1}`);
  const read = prompts === undefined ? [] : await readPromptFile(prompts);
  if (typed.length + read.length === 0) {
    throw new FarmError("INVALID_ARGUMENT", "no prompt is given: use --prompt or --prompts FILE");
  }
  return [...typed, ...read];
}

// Open-Sora v1.2's inference configuration: for a model that only the workers know.
const openSora = { frames: 51, fps: 24, guidance: 7 };
const openSoraSteps = 30;
const usualSeed = 42n;
// A still image is conditioned on this rate.
const imageFps = 120;

/** What a command knows of a model; of a bare name, no traits. */
export interface NamedModel {
  readonly name: string;
  readonly defaults: ModelDefaults;
  readonly traits?: ModelTraits;
}

/** Options win over the model's defaults, these over what its family was published with. */
export function renderSpec(options: SpecOptions, model: NamedModel): RenderSpec {
  const { defaults, traits } = model;
  const usual = traits ?? openSora;
  const frames = options.frames ?? defaults.frames ?? usual.frames;
  const fps = options.fps ?? defaults.fps ?? usual.fps;
  const sampler = options.sampler ?? defaults.sampler ?? "";
  return {
    model: model.name,
    frames,
    ...frameSize(options, { ...traits, ...defaults }),
    fps: frames === 1 && options.fps === undefined ? imageFps : fps,
    saveFps: options.saveFps ?? fps,
    steps: options.steps ?? usualSteps(sampler, model),
    sampler,
    guidance: options.guidance ?? defaults.guidance ?? usual.guidance,
    seed: options.seed ?? usualSeed,
    policy: policyOf(policyName(options), withCacheDtype(options.policyOption, options.cacheDtype)),
    scores: {
      aesthetic: options.aes,
      motion: options.flow,
      cameraMotion: options.cameraMotion,
    },
    dtype: options.dtype ?? "",
    device: "",
    initialLatentKey: "",
    saveLatent: false,
    saveFrames: false,
    trace: "TRACE_DETAIL_UNSPECIFIED",
  };
}

/** A preset is resolved where the plan is made: what it stands for depends on the model. */
function policyName({ policy, preset }: SpecOptions): string {
  return preset === undefined ? (policy ?? "none") : `preset:${preset}`;
}

/** All of a spec that decides its plan. */
export function planRequest(spec: RenderSpec): PlanRequest {
  const { frames, height, width, fps, steps, guidance, sampler, policy } = spec;
  const { name, options } = policy ?? { name: "none", options: {} };
  const request = { frames, height, width, fps, steps, guidance, sampler };
  const calibration = policy?.calibration;
  const asked = { ...request, policy: { name, options } };
  return calibration ? { ...asked, calibrated: { calibration, model: spec.model } } : asked;
}

/** Each sampler has its own; the model's default is for the model's sampler. */
function usualSteps(sampler: string, { defaults, traits }: NamedModel): number {
  const isDefault = sampler === (defaults.sampler ?? "");
  if (isDefault && defaults.steps !== undefined) return defaults.steps;
  const known = traits?.samplers.find(({ name }) => name === sampler) ?? traits?.samplers[0];
  return known?.steps ?? openSoraSteps;
}

function frameSize(options: SpecOptions, usual: Partial<FrameSize>): FrameSize {
  if (options.imageSize !== undefined) return imageSizeOption(options.imageSize);
  const { height, width } = usual;
  const isNamed = options.resolution !== undefined || options.aspectRatio !== undefined;
  if (!isNamed && height !== undefined && width !== undefined) return { height, width };
  const resolution = options.resolution ?? defaultResolution;
  return namedSize(resolution, options.aspectRatio ?? defaultAspectRatio(resolution));
}
