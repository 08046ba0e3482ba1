// Batches with what is to be expected of them. A forecast looks at every unfinished batch, so one
// is made for many answers: for as long as that keeps its making to a small part of the time.

import { monotonicClock } from "../../common/clock.js";
import type { Batch as BatchMessage } from "../../proto/gen/tocafarm/v1/farm.js";
import type { Farm } from "../core/farm.js";
import { type Forecast, forecast } from "../core/forecast.js";
import type { Batch } from "../core/state.js";
import type { FarmPort } from "../ports.js";
import { toBatchMessage } from "./convert.js";

/**
 * A forecast is good for this many times what it took to make: one of a small farm is always fresh,
 * one of 10,000 batches is some seconds old and takes 2 % of a core.
 */
const ageFactor = 50;

export interface Outlook {
  batch(now: Farm, batch: Batch): BatchMessage;
  forecast(now: Farm): Forecast;
}

/** Of one farm. */
export function createOutlook(farm: FarmPort): Outlook {
  let made: { readonly forecast: Forecast; readonly goodUntilMs: number } | undefined;
  const make = (now: Farm): Forecast => {
    const startedMs = monotonicClock.now();
    const fresh = forecast(now, farm.now());
    const endedMs = monotonicClock.now();
    made = { forecast: fresh, goodUntilMs: endedMs + ageFactor * (endedMs - startedMs) };
    return fresh;
  };
  const current = (now: Farm): Forecast =>
    made && monotonicClock.now() < made.goodUntilMs ? made.forecast : make(now);
  return {
    forecast: current,
    batch: (now, batch) => {
      const message = toBatchMessage(batch);
      if (batch.endedAt !== null) return { ...message, late: isOver(batch, batch.endedAt) };
      const expected = current(now).batches.get(batch.id) ?? make(now).batches.get(batch.id);
      // Before any device has shown its speed, every time would be made up.
      if (!expected || now.state.speeds.size === 0) {
        return { ...message, late: isOver(batch, farm.now()) };
      }
      const { deviceSecondsLeft, secondsToFinish, late } = expected;
      return { ...message, deviceSecondsLeft, secondsToFinish: secondsToFinish ?? undefined, late };
    },
  };
}

function isOver({ deadlineAt }: Batch, at: number): boolean {
  return deadlineAt !== null && at > deadlineAt;
}
