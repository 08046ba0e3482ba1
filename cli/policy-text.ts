// A caching policy as a person reads it.
import type { Policy } from "../engine/plan.js";
import { labelOf } from "./compare/policies.js";
import { shortened } from "./table.js";

// Fits a schedule of some thirty steps; `--json` has one of a thousand whole.
const valueCharactersMax = 60;

/**
 * "toca(interval=4)"; with the plan's, "preset:balanced = fora(interval=4,warm=6)" too, long
 * values cut. What is unset in a message is none.
 */
export function policyText(asked: Policy | undefined, planned = asked): string {
  if (asked === undefined || planned === undefined) return "none";
  return asked.name === planned.name
    ? labelOf(withShortValues(asked))
    : `${asked.name} = ${labelOf(withShortValues(planned))}`;
}

function withShortValues({ name, options }: Policy): Policy {
  const short = Object.entries(options).map(
    ([option, value]) => [option, shortened(value, valueCharactersMax)] as const,
  );
  return { name, options: Object.fromEntries(short) };
}
