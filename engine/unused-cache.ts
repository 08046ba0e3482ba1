// Says when a clip's policy never took anything from its cache: the clip cost what `none` costs,
// and its user would not see that in the pictures.

/** Policies that keep no cache: there is nothing to take. */
const withoutCache: ReadonlySet<string> = new Set(["none", "steps"]);

/**
 * The warning for a clip that was rendered under `policy` and reused so many tokens; undefined
 * where there is nothing to warn of. `passed`: tokens that passed its modules, 0 before a step.
 */
export function unusedCacheWarning(clip: {
  readonly policy: string;
  readonly reused: number;
  readonly passed: number;
}): string | undefined {
  const { policy, reused, passed } = clip;
  if (withoutCache.has(policy) || passed === 0 || reused > 0) return undefined;
  return (
    `policy ${policy} took nothing from its cache: it saved nothing against none; take more ` +
    "steps, or options that reuse more"
  );
}
