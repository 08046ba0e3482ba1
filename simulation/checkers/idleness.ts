// No device idles while something ready could run on it: from time to time every device that could
// work and asks for work is held against all that is ready. Messages take their time, so it may
// stay so for a while, but not longer than a bound.

import type { Rules } from "../../coordinator/core/rules.js";
import type { Ledger } from "./ledger.js";
import { type Places, readyClip } from "./readiness.js";
import { promised } from "./violation.js";

export interface IdlenessOptions {
  readonly ledger: Ledger;
  readonly rules: Rules;
  readonly places: Places;
  /** For so long a device may ask in vain. */
  readonly boundMs: number;
}

export class Idleness {
  readonly #options: IdlenessOptions;
  /** Since when a device could have had something. */
  readonly #since = new Map<string, number>();

  constructor(options: IdlenessOptions) {
    this.#options = options;
  }

  /**
   * Looks at `nowMs` of virtual time, when the leader's clock stands at `at`: `asking` are the
   * devices that a leader hears and that ask for work.
   */
  look(nowMs: number, at: number, asking: readonly string[]): void {
    const before = new Map(this.#since);
    this.#since.clear();
    for (const name of asking) {
      const ready = this.#readyFor(name, at);
      if (ready === undefined) continue;
      const since = before.get(name) ?? nowMs;
      promised(nowMs - since <= this.#options.boundMs, "no device idles beside ready work", () => {
        return `${name} asks for ${nowMs - since} ms, ${ready} could run there`;
      });
      this.#since.set(name, since);
    }
  }

  #readyFor(name: string, at: number): string | undefined {
    const { ledger, rules, places } = this.#options;
    const place = places.get(name);
    const held = ledger.quarantined.has(name) || ledger.devices.has(name);
    if (place === undefined || held || ledger.drained.has(place.agent.id)) return undefined;
    for (const [id, batch] of ledger.unfinished) {
      const index = readyClip(ledger, batch, place, { rules, at });
      if (index !== undefined) return `${id}/${index}`;
    }
    return undefined;
  }
}
