// What the coordinator answers over HTTP: metrics for Prometheus, health for whoever starts it, and
// a front page that says where things are.

import { counted } from "../../common/counted.js";
import { type HttpAnswer, type HttpRoutes, textAnswer } from "../../common/http.js";
import { packageVersion } from "../../common/version.js";
import { batchPhaseOf } from "../core/state.js";
import type { Life, ReplicaPort } from "../ports.js";

export interface PagesOptions {
  readonly replica: ReplicaPort;
  /** What Prometheus reads. */
  readonly scrape: () => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly pool: string;
}

export function pages({ replica, scrape, pool }: PagesOptions): HttpRoutes {
  return {
    "/": async () => textAnswer(await frontPage(replica, pool)),
    "/metrics": async () => ({ status: 200, ...(await scrape()) }),
    "/healthz": () => textAnswer("ok\n"), // the event loop turns
    "/readyz": () => readiness(replica.life),
  };
}

/** A standby is as ready as the leader: it answers reads and hands on the rest. */
function readiness(life: Life | null): HttpAnswer {
  if (life === null) return textAnswer("reading the log\n", 503);
  return textAnswer(life.leads ? "leader\n" : "standby\n");
}

async function frontPage({ life, leader }: ReplicaPort, pool: string): Promise<string> {
  return [
    `tocafarm coordinator ${packageVersion()}, pool ${pool}`,
    `${roleOf(life)}; the leader is ${leader?.grpc ?? "unknown"}`,
    ...(life === null ? [] : [await summaryOf(life)]),
    "",
    "/metrics  metrics for Prometheus",
    "/healthz  the process runs",
    "/readyz   the log is read: it leads, or stands by and hands commands on",
    "",
  ].join("\n");
}

function roleOf(life: Life | null): string {
  if (life === null) return "reading the log";
  return `${life.leads ? "leads" : "stands by"} at ${life.sequence} of the log, term ${life.term}`;
}

function summaryOf(life: Life): Promise<string> {
  return life.query(({ state, live }) => {
    const phases = [...state.batches.values()].map(batchPhaseOf);
    const running = phases.filter((phase) => phase === "queued" || phase === "active").length;
    const batches = `batches: ${running} unfinished, ${phases.length} known`;
    if (!life.leads) return batches;
    const workers = [...live.workers.values()].filter(({ connected }) => connected);
    return `${counted(workers.length, "worker")} connected, ${batches}`;
  });
}
