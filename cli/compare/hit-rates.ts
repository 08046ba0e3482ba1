// Where a policy's tokens came from: of each module of each layer at each step, the share that was
// taken from the cache, from the profiles that the clips brought along.
import { readFile } from "node:fs/promises";
import { FarmError } from "../../common/errors.js";

export interface ModulePlace {
  readonly layer: number;
  readonly block: string;
  readonly module: string;
}

export interface HitRates {
  /** In the order of execution. */
  readonly modules: readonly ModulePlace[];
  readonly steps: number;
  /** [modules][steps]: share of tokens from the cache; null = nothing is known. */
  readonly rates: readonly (readonly (number | null)[])[];
}

interface Tokens {
  computed: number;
  reused: number;
}

/** Over all given profiles; throws IO for one that cannot be read. */
export async function readHitRates(files: readonly string[], steps: number): Promise<HitRates> {
  const rows = new Map<string, { readonly place: ModulePlace; readonly steps: Tokens[] }>();
  for (const file of files) {
    for (const { step, place, computed, reused } of await readProfile(file)) {
      const key = `${place.layer} ${place.block} ${place.module}`;
      const row = rows.get(key) ?? { place, steps: [] };
      rows.set(key, row);
      const tokens = row.steps[step] ?? { computed: 0, reused: 0 };
      row.steps[step] = {
        computed: tokens.computed + computed,
        reused: tokens.reused + reused,
      };
    }
  }
  return {
    modules: [...rows.values()].map(({ place }) => place),
    steps,
    rates: [...rows.values()].map((row) =>
      Array.from({ length: steps }, (_, step) => rateOf(row.steps[step])),
    ),
  };
}

function rateOf(tokens: Tokens | undefined): number | null {
  const passed = tokens === undefined ? 0 : tokens.computed + tokens.reused;
  return tokens === undefined || passed === 0 ? null : tokens.reused / passed;
}

interface Cell extends Tokens {
  readonly step: number;
  readonly place: ModulePlace;
}

interface ProfileText {
  readonly columns: readonly string[];
  readonly steps: readonly {
    readonly step: number;
    readonly modules: readonly (readonly (string | number)[])[];
  }[];
}

async function readProfile(file: string): Promise<readonly Cell[]> {
  let profile: ProfileText;
  try {
    profile = JSON.parse(await readFile(file, "utf8")); // our worker wrote it
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new FarmError("IO", `profile ${file} cannot be read: ${reason}`, { cause: thrown });
  }
  const at = (name: string) => profile.columns.indexOf(name);
  const [layer, block, module] = [at("layer"), at("block"), at("module")];
  const [computed, reused] = [at("tokens_computed"), at("tokens_reused")];
  return profile.steps.flatMap(({ step, modules }) =>
    modules.map((row) => ({
      step,
      place: { layer: Number(row[layer]), block: `${row[block]}`, module: `${row[module]}` },
      computed: Number(row[computed]),
      reused: Number(row[reused]),
    })),
  );
}
