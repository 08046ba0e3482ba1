import assert from "node:assert/strict";
import { test } from "node:test";
import { combinations, createMetrics } from "./metrics.js";

const table = {
  test_things_total: {
    type: "counter",
    help: "things",
    labels: ["kind", "outcome"],
    zeros: combinations({ kind: ["a"], outcome: ["good", "bad"] }),
  },
  test_level: { type: "gauge", help: "level", labels: [], zeros: [{}] },
  test_seconds: { type: "histogram", help: "seconds", labels: [], buckets: [1, 2], zeros: [{}] },
} as const;

test("every known series is there with zero before anything happens", async () => {
  const { body, contentType } = await createMetrics(table).scrape();
  assert.match(contentType, /text\/plain/);
  assert.match(body, /test_things_total\{kind="a",outcome="good"\} 0/);
  assert.match(body, /test_things_total\{kind="a",outcome="bad"\} 0/);
  assert.match(body, /test_level 0/);
  assert.match(body, /test_seconds_bucket\{le="2"\} 0/);
});

test("counts add up, and gauges are read at the scrape", async () => {
  const metrics = createMetrics(table);
  metrics.count("test_things_total", { kind: "a", outcome: "good" });
  metrics.count("test_things_total", { kind: "a", outcome: "good" }, 2);
  metrics.observe("test_seconds", {}, 1.5);
  metrics.beforeScrape(() => metrics.set("test_level", {}, 7));
  const { body } = await metrics.scrape();
  assert.match(body, /test_things_total\{kind="a",outcome="good"\} 3/);
  assert.match(body, /test_level 7/);
  assert.match(body, /test_seconds_sum 1.5/);
});
