// What durable JetStream costs: the replay of 1,000,000 events, an append with fsync against a bare
// fsynced publish, and saving and loading a snapshot of 100 MB. Prints JSON.
//
//   node dist/bench/log.js [turns] [events per turn]
//
// The log of the replay is written without fsync, since only its reading is measured; everything
// else runs on the server as a coordinator starts it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { sleep } from "../common/clock.js";
import { silentLog } from "../common/log.js";
import type { FarmEvent } from "../coordinator/core/events.js";
import { connectNats } from "../coordinator/nats/connection.js";
import { encodeTurn } from "../coordinator/nats/event-codec.js";
import { openEventLog } from "../coordinator/nats/event-log.js";
import { findNatsServer, startNatsServer } from "../coordinator/nats/server.js";
import { openSnapshots } from "../coordinator/nats/snapshots.js";

type NatsConnection = Awaited<ReturnType<typeof connectNats>>;

const appendsMeasured = 2_000;
const snapshotBytes = 100_000_000;

/** Turns on their way while the log is filled. */
const fillInFlight = 1_000;

const totals = {
  ...{ tokensComputed: 123_456_789, tokensReused: 987_654_321, flops: 1.5e14, flopsNone: 4.1e14 },
  ...{ textEncodeSeconds: 0.21, denoiseSeconds: 4.87, decodeSeconds: 0.62 },
  ...{ encodeSeconds: 0.3, uploadSeconds: 0.05 },
};

/** A turn as a busy farm has it: leases, first steps and published clips. */
function turnOf(index: number, events: number): readonly FarmEvent[] {
  return Array.from({ length: events }, (_, i) => eventOf(index * events + i));
}

function eventOf(index: number): FarmEvent {
  const clip = Math.floor(index / 3);
  const ref = { at: 1_790_000_000_000 + index, batch: "b0123456789ab", clip, attempt: 1 };
  if (index % 3 === 1) return { type: "AttemptStarted", ...ref };
  if (index % 3 === 2) {
    const sha256 = clip.toString(16).padStart(64, "0");
    const key = `clips/${ref.batch}.${clip}/1/clip.mp4`;
    const artifacts = [{ key, sha256, sizeBytes: 1_234_567 }];
    return { type: "ClipPublished", ...ref, artifacts, totals };
  }
  const where = { worker: `worker-${clip % 1000}`, device: "cuda:0", kind: "cuda/H200/132/bf16/1" };
  const work = { preview: false, segment: 0, resumeStep: 0, deviceSeconds: 6.1 };
  return { type: "LeaseGranted", ...ref, ...where, ...work, tier: 2, weight: 1 };
}

/** Fills a log by a server that does not wait for the disk. */
async function fill(folder: string, turns: number, events: number): Promise<number> {
  const args = ["-js", "-sd", folder, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder];
  const server = spawn(findNatsServer(process.env), args, { stdio: "ignore" });
  const exited = once(server, "exit");
  const portsFile = path.join(folder, `nats-server_${server.pid}.ports`);
  while (!existsSync(portsFile)) await sleep(20);
  const [url] = JSON.parse(readFileSync(portsFile, "utf8")).nats;
  const connection = await connectNats(url, silentLog);
  await openEventLog(connection, "bench");
  let bytes = 0;
  for (let first = 0; first < turns; first += fillInFlight) {
    const count = Math.min(fillInFlight, turns - first);
    const publishing = Array.from({ length: count }, (_, i) => {
      const turn = encodeTurn(turnOf(first + i, events));
      bytes += turn.length;
      return connection.jetstream().publish("tocafarm.bench.events", turn);
    });
    await Promise.all(publishing);
  }
  await connection.close();
  server.kill("SIGTERM");
  await exited;
  return bytes;
}

async function measureReplay(connection: NatsConnection, turns: number): Promise<object> {
  const log = await openEventLog(connection, "bench");
  let events = 0;
  const startMs = performance.now();
  const last = await log.replay(0, (turn) => {
    events += turn.length;
  });
  const seconds = (performance.now() - startMs) / 1000;
  if (last !== turns) throw new Error(`the log has ${last} turns, ${turns} were written`);
  return { events, turns, seconds, eventsPerSecond: Math.round(events / seconds) };
}

/** One lease at a time, by turns with a publish of the same bytes that expects nothing. */
async function measureAppends(connection: NatsConnection): Promise<object> {
  const log = await openEventLog(connection, "appends");
  const client = connection.jetstream();
  await (await connection.jetstreamManager()).streams.add({ name: "BARE", subjects: ["bare"] });
  const appendMs: number[] = [];
  const bareMs: number[] = [];
  let sequence = 0;
  for (let i = 0; i < appendsMeasured; i++) {
    const turn = turnOf(i, 1);
    const startMs = performance.now();
    sequence = await log.append(turn, sequence);
    const betweenMs = performance.now();
    await client.publish("bare", encodeTurn(turn));
    appendMs.push(betweenMs - startMs);
    bareMs.push(performance.now() - betweenMs);
  }
  return { append: quantiles(appendMs), barePublish: quantiles(bareMs) };
}

function quantiles(values: readonly number[]): object {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))];
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

async function measureSnapshots(connection: NatsConnection): Promise<object> {
  const snapshots = await openSnapshots(connection, "bench");
  const line = JSON.stringify(eventOf(2));
  const text = line.repeat(Math.ceil(snapshotBytes / line.length));
  const startMs = performance.now();
  await snapshots.save(1, text);
  const savedMs = performance.now();
  const newest = await snapshots.newest();
  const loadSeconds = (performance.now() - savedMs) / 1000;
  if (newest?.text !== text) throw new Error("the snapshot came back other than it was saved");
  return { bytes: text.length, saveSeconds: (savedMs - startMs) / 1000, loadSeconds };
}

const [turns = 100_000, events = 10] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(path.join(tmpdir(), "tocafarm-bench-log-"));
try {
  const bytes = await fill(folder, turns, events);
  const server = await startNatsServer(folder, silentLog);
  try {
    const connection = await connectNats(server.url, silentLog);
    const replay = { ...(await measureReplay(connection, turns)), bytes };
    const appends = await measureAppends(connection);
    const snapshot = await measureSnapshots(connection);
    await connection.close();
    console.log(JSON.stringify({ replay, appends, snapshot }, null, 2));
  } finally {
    await server.stop();
  }
} finally {
  rmSync(folder, { recursive: true });
}
