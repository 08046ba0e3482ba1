// What a check of the doctor found, and what to do about it.
import { asFarmError } from "../common/errors.js";

export interface Finding {
  readonly what: string;
  /** "missing" stops a farm; "note" is worth knowing. */
  readonly status: "ok" | "note" | "missing";
  readonly found: string;
  /** What to do; "" when nothing. */
  readonly remedy: string;
}

export function ok(what: string, found: string): Finding {
  return { what, status: "ok", found, remedy: "" };
}

export function note(what: string, found: string, remedy: string): Finding {
  return { what, status: "note", found, remedy };
}

export function missing(what: string, found: string, remedy: string): Finding {
  return { what, status: "missing", found, remedy };
}

/** The check's finding; an error in it is a finding too, and says itself what to do. */
export async function checked(what: string, check: () => Promise<Finding>): Promise<Finding> {
  try {
    return await check();
  } catch (thrown) {
    return missing(what, asFarmError(thrown).message, "see docs/operations.md, Artifact stores");
  }
}
