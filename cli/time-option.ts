// Times as a person writes them: an instant, or a while from now.
import { FarmError } from "../common/errors.js";

const unitSeconds = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;
const whilePattern = /^(\d{1,7}(?:\.\d{1,3})?)([smhd])$/;

/** "90s", "45m", "2h", "1.5d" in seconds. Throws INVALID_ARGUMENT. */
export function secondsOption(name: string): (text: string) => number {
  return (text) => {
    const seconds = whileSeconds(text);
    if (seconds !== undefined) return seconds;
    throw new FarmError("INVALID_ARGUMENT", `${name} is ${text}; 90s, 45m, 2h or 7d is wanted`);
  };
}

/** A time in ISO 8601, or a while after `nowMs`. Throws INVALID_ARGUMENT, also for what is over. */
export function deadlineOf(text: string, nowMs: number): Date {
  const seconds = whileSeconds(text);
  const at = seconds === undefined ? isoTime(text) : new Date(nowMs + seconds * 1000);
  if (at === undefined || Number.isNaN(at.getTime())) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `--deadline is ${text}; a time such as 2027-01-31T18:00:00Z or a while such as 2h is wanted`,
    );
  }
  if (at.getTime() <= nowMs) {
    throw new FarmError("INVALID_ARGUMENT", `--deadline is ${at.toISOString()}, which is over`);
  }
  return at;
}

function whileSeconds(text: string): number | undefined {
  const match = whilePattern.exec(text);
  if (!match) return undefined;
  const seconds = Number(match[1]) * unitSeconds[match[2] as keyof typeof unitSeconds]; // matched
  return seconds > 0 ? seconds : undefined;
}

/** Date would also take "2" and "next year 5"; a date alone is the end of no particular day. */
function isoTime(text: string): Date | undefined {
  const pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)?$/;
  return pattern.test(text) ? new Date(text) : undefined;
}
