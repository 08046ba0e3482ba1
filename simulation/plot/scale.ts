// From values to places on a chart, with ticks at round values.

export interface Scale {
  readonly max: number;
  readonly ticks: readonly number[];
  /** Where a value lies, as a share of the axis. */
  at(value: number): number;
}

/** An axis from 0 to at least `max`, with about `count` ticks. */
export function scaleTo(max: number, count: number): Scale {
  const step = roundStep(Math.max(max, Number.EPSILON) / count);
  const top = Math.max(step, Math.ceil(max / step) * step);
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step);
  return { max: top, ticks, at: (value) => value / top };
}

/** The smallest of 1, 2 and 5 times a power of ten that is not below `step`. */
function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const factor = [1, 2, 5, 10].find((each) => each * power >= step * (1 - 1e-9)) ?? 10;
  return factor * power;
}

export interface TimeUnit {
  readonly name: string;
  readonly seconds: number;
}

const units: readonly TimeUnit[] = [
  { name: "days", seconds: 86_400 },
  { name: "h", seconds: 3_600 },
  { name: "min", seconds: 60 },
];

/** The unit in which a span is easily read. */
export function unitFor(seconds: number): TimeUnit {
  return units.find((unit) => seconds >= 3 * unit.seconds) ?? { name: "s", seconds: 1 };
}

/** A tick's text: 1000 as 1k. */
export function tickText(value: number): string {
  const whole = Math.round(value * 1e6) / 1e6;
  if (whole >= 1e6) return `${whole / 1e6}M`;
  return whole >= 10_000 ? `${whole / 1e3}k` : `${whole}`;
}
