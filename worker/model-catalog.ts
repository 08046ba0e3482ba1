// The models of a worker: read once at start, announced to the coordinator, and known by name
// after.
import { FarmError } from "../common/errors.js";
import { type EngineCache, weightsDigest } from "../engine/engine.js";
import { type ModelFolder, readModelFolder } from "../engine/model-folder.js";
import { type Dtype, type ModelTraits, makePlan, type PlanRequest } from "../engine/plan.js";
import type { Model } from "../proto/gen/tocafarm/v1/worker.js";
import type { ModelRef } from "./engine-messages.js";
import type { ModuleName } from "./metrics.js";

export interface CatalogModel extends ModelRef {
  /** As announced. */
  readonly message: Model;
  /** Every module of every block. */
  readonly modules: readonly ModuleName[];
}

/** Reads the folders in order; throws what readModelFolder throws, and for two of the same name. */
export async function readCatalog(
  folders: readonly string[],
  dtype: Dtype,
  cache: EngineCache | null,
): Promise<ReadonlyMap<string, CatalogModel>> {
  const catalog = new Map<string, CatalogModel>();
  for (const path of folders) {
    const folder = await readModelFolder(path);
    const known = catalog.get(folder.name);
    if (known !== undefined) {
      throw new FarmError(
        "INVALID_ARGUMENT",
        `two models are named ${folder.name}: ${known.path} and ${folder.path}; rename a folder`,
      );
    }
    catalog.set(folder.name, await describe(folder, dtype, cache));
  }
  return catalog;
}

async function describe(
  folder: ModelFolder,
  dtype: Dtype,
  cache: EngineCache | null,
): Promise<CatalogModel> {
  const { name, path, configs, traits } = folder;
  const message = {
    name,
    weightsDigest: await weightsDigest(path, cache),
    transformerConfig: configs.transformer,
    vaeConfig: configs.vae,
    textEncoderConfig: configs.textEncoder,
    modelIndex: configs.modelIndex,
  };
  return { name, path, configs, traits, message, modules: modulesOf(folder, dtype) };
}

// What layers a model has does not depend on the size.
const smallest = { frames: 1, height: 64, width: 64, fps: 24, steps: 1, guidance: 1, sampler: "" };

/** The smallest clip that a model takes, without a cache. */
export function smallestClip({ fixedSize, height, width }: ModelTraits): PlanRequest {
  const size = fixedSize ? { height, width } : {};
  return { ...smallest, ...size, policy: { name: "none", options: {} } };
}

/** The first step of a plan that computes everything names every module. */
function modulesOf({ configs, traits }: ModelFolder, dtype: Dtype): readonly ModuleName[] {
  const plan = makePlan(configs, smallestClip(traits), dtype);
  return (plan.steps[0]?.modules ?? []).map(({ layer, block, module }) => {
    return { layer, block, module };
  });
}
