// How much of a render may be computed: `--budget 12` steps, or `--budget 40%` of its FLOPs.
import { FarmError } from "../../common/errors.js";

export interface Budget {
  /** Share of the FLOPs of computing everything. */
  readonly share: number;
  /** Whole steps that it allows. */
  readonly steps: number;
}

// A share that was meant to be exactly so many steps is not to lose one to rounding.
const tolerance = 1e-9;

/** Throws INVALID_ARGUMENT unless something is computed and something is left out. */
export function readBudget(text: string, steps: number): Budget {
  const [, digits, isShare] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text) ?? [];
  const value = Number(digits);
  const share = isShare ? value / 100 : value / steps;
  const isWhole = Boolean(isShare) || Number.isInteger(value);
  const whole = Math.floor(share * steps + tolerance);
  if (digits === undefined || !isWhole || whole < 1 || whole >= steps) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `--budget is ${text}; 1 to ${steps - 1} steps of ${steps} are wanted, or a share of the ` +
        "FLOPs such as 40%",
    );
  }
  return { share, steps: whole };
}
