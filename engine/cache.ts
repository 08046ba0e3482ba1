// Where engines keep what they need not make again, as command lines and the environment say it.
import path from "node:path";
import { defaultCacheFolder } from "../common/paths.js";
import type { NativeCache } from "./addon-types.js";

/** The environment variable that names the folder, or switches the cache off. */
export const cacheVariable = "TOCAFARM_CACHE";
/** The largest published text encoder alone takes 19 GB in fp32. */
export const defaultCacheGib = 64;

/**
 * The cache of `setting`: a folder, or "off" for none; undefined and "" = the user's cache folder.
 */
export function engineCache(
  setting: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  gib: number = defaultCacheGib,
): NativeCache | null {
  if (setting === "off") return null;
  const folder = path.resolve(setting || defaultCacheFolder(env));
  return { folder, weightsBytesMax: gib * 2 ** 30 };
}
