// Prometheus text as a test wants to ask it: by name and by some of the labels.

export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

type Labels = Readonly<Record<string, string>>;

export class Scrape {
  readonly #series: readonly Series[];

  constructor(series: readonly Series[]) {
    this.#series = series;
  }

  /** Every series there is. */
  get series(): readonly Series[] {
    return this.#series;
  }

  /** Every series of the name whose labels include these. */
  all(name: string, labels: Labels = {}): readonly Series[] {
    return this.#series.filter(
      (series) =>
        series.name === name &&
        Object.entries(labels).every(([label, value]) => series.labels[label] === value),
    );
  }

  /** The value of the one series that fits; throws when there is none or more than one. */
  one(name: string, labels: Labels = {}): number {
    const [found, ...more] = this.all(name, labels);
    if (found !== undefined && more.length === 0) return found.value;
    throw new Error(`${1 + more.length} series are ${name} ${JSON.stringify(labels)}`);
  }

  /** The sum over every series that fits. */
  sum(name: string, labels: Labels = {}): number {
    return this.all(name, labels).reduce((sum, { value }) => sum + value, 0);
  }
}

/** Reads what /metrics answers; throws for a line that is none of Prometheus's. */
export function parseMetrics(text: string): Scrape {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Scrape(lines.map(parseLine));
}

function parseLine(line: string): Series {
  const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
  const value = Number(match?.[3]);
  if (match?.[1] === undefined || Number.isNaN(value)) throw new Error(`no series: ${line}`);
  const pairs = [...(match[2] ?? "").matchAll(/(\w+)="([^"]*)"/g)];
  const labels = Object.fromEntries(pairs.map(([, label = "", text = ""]) => [label, text]));
  return { name: match[1], labels, value };
}
