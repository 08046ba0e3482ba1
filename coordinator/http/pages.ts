// What the coordinator answers over HTTP: metrics for Prometheus, health for whoever starts it, and
// a front page that says where things are.

import { type HttpRoutes, textAnswer } from "../../common/http.js";
import { packageVersion } from "../../common/version.js";
import { batchPhaseOf } from "../core/state.js";
import type { FarmPort } from "../ports.js";

export interface PagesOptions {
  readonly farm: FarmPort;
  /** What Prometheus reads. */
  readonly scrape: () => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly pool: string;
}

export function pages({ farm, scrape, pool }: PagesOptions): HttpRoutes {
  return {
    "/": async () => textAnswer(await frontPage(farm, pool)),
    "/metrics": async () => ({ status: 200, ...(await scrape()) }),
    "/healthz": () => textAnswer("ok\n"), // the event loop turns
    "/readyz": async () => {
      await farm.query(() => undefined); // throws when this coordinator does not lead
      return textAnswer("ok\n");
    },
  };
}

async function frontPage(farm: FarmPort, pool: string): Promise<string> {
  const { batches, workers } = await farm.query(({ state, live }) => ({
    batches: [...state.batches.values()].map(batchPhaseOf),
    workers: [...live.workers.values()].filter(({ connected }) => connected).length,
  }));
  const running = batches.filter((phase) => phase === "queued" || phase === "active").length;
  return [
    `tocafarm coordinator ${packageVersion()}, pool ${pool}`,
    `${workers} workers connected, ${running} batches unfinished, ${batches.length} known`,
    "",
    "/metrics  metrics for Prometheus",
    "/healthz  the process runs",
    "/readyz   it leads its pool and takes commands",
    "",
  ].join("\n");
}
