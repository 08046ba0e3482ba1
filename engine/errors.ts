// Errors of the native engine as FarmErrors, in one place: the addon sets `code` on a plain Error,
// and an error without a code that we know is our own mistake below the native line.
import { asFarmError, type FarmError } from "../common/errors.js";

/** What a call below the native line threw; an unknown code becomes INTERNAL. */
export function engineError(thrown: unknown): FarmError {
  return asFarmError(thrown, "INTERNAL");
}

/** Runs a synchronous call of the addon and translates what it throws. */
export function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    throw engineError(thrown);
  }
}

/** As translated, for a call that returns a promise. */
export async function translatedAsync<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    throw engineError(thrown);
  }
}
