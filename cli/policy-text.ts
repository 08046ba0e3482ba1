// A caching policy as a person reads it.
import type { Policy } from "../engine/plan.js";
import { labelOf } from "./compare/policies.js";

/**
 * "toca(interval=4)"; with the plan's, "preset:balanced = fora(interval=4,warm=6)" too. What is
 * unset in a message is none.
 */
export function policyText(asked: Policy | undefined, planned = asked): string {
  if (asked === undefined || planned === undefined) return "none";
  return asked.name === planned.name ? labelOf(asked) : `${asked.name} = ${labelOf(planned)}`;
}
