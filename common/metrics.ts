// Metrics as a table: name, kind, help and labels of every series of a process stand in one place,
// and every series whose labels are known exists with zero from the start, so that a rate or an
// alert never meets a gap. The only import of prom-client.

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { assert } from "./assert.js";

/** One row. `zeros`: the label values that are known before anything happens. */
export interface MetricRow {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds, of a histogram only. */
  readonly buckets?: readonly number[];
  readonly zeros?: readonly Labels[];
}

export type MetricTable = Readonly<Record<string, MetricRow>>;
export type Labels = Readonly<Record<string, string>>;

type NamesOf<T extends MetricTable, K extends MetricRow["type"]> = {
  [N in keyof T & string]: T[N]["type"] extends K ? N : never;
}[keyof T & string];

export interface Metrics<T extends MetricTable> {
  /** Adds to a counter; `by` is not negative. */
  count(name: NamesOf<T, "counter">, labels?: Labels, by?: number): void;
  /** Sets a gauge. */
  set(name: NamesOf<T, "gauge">, labels: Labels, value: number): void;
  /** Records one value of a histogram. */
  observe(name: NamesOf<T, "histogram">, labels: Labels, value: number): void;
  /** Makes a series exist, once its labels become known (a device, a model's layers). */
  zero(name: keyof T & string, labels: Labels): void;
  /** Calls `read` before each scrape, to set gauges from the state of the moment. */
  beforeScrape(read: () => void): void;
  /** What /metrics answers. */
  scrape(): Promise<{ readonly contentType: string; readonly body: string }>;
}

/** A registry with the table's metrics, all zeros in place. */
export function createMetrics<const T extends MetricTable>(table: T): Metrics<T> {
  const registry = new Registry();
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  const readers: (() => void)[] = [];
  for (const [name, row] of Object.entries(table)) {
    const options = { name, help: row.help, labelNames: [...row.labels], registers: [registry] };
    if (row.type === "counter") counters.set(name, new Counter(options));
    else if (row.type === "gauge") gauges.set(name, new Gauge(options));
    else {
      assert(row.buckets !== undefined, `histogram ${name} needs buckets`);
      histograms.set(name, new Histogram({ ...options, buckets: [...row.buckets] }));
    }
  }
  const zero = (name: string, labels: Labels): void => {
    counters.get(name)?.inc(labels, 0);
    gauges.get(name)?.set(labels, 0);
    histograms.get(name)?.zero(labels);
  };
  for (const [name, row] of Object.entries(table)) {
    for (const labels of row.zeros ?? []) zero(name, labels);
  }
  return {
    count: (name, labels = {}, by = 1) => counters.get(name)?.inc(labels, by),
    set: (name, labels, value) => gauges.get(name)?.set(labels, value),
    observe: (name, labels, value) => histograms.get(name)?.observe(labels, value),
    zero,
    beforeScrape: (read) => readers.push(read),
    scrape: async () => {
      for (const read of readers) read();
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

/** Every combination of label values, for a row's zeros. */
export function combinations(values: Readonly<Record<string, readonly string[]>>): Labels[] {
  let rows: Labels[] = [{}];
  for (const [label, choices] of Object.entries(values)) {
    rows = rows.flatMap((row) => choices.map((choice) => ({ ...row, [label]: choice })));
  }
  return rows;
}
