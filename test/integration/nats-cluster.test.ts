// Three nats-servers on loopback, three copies of everything: each server in turn is killed under a
// writer's load and comes back. Whatever was acknowledged is in the log, in its order; the writer
// goes on as a coordinator does (UNAVAILABLE, newest snapshot, replay, next append), a follower
// sees the same log, and no two coordinators hold the seat at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NatsConnection } from "nats";
import { sleep } from "../../common/clock.js";
import { asFarmError } from "../../common/errors.js";
import type { FarmEvent } from "../../coordinator/core/events.js";
import { openEventLog } from "../../coordinator/nats/event-log.js";
import { openLeadership } from "../../coordinator/nats/leadership.js";
import { openSnapshots } from "../../coordinator/nats/snapshots.js";
import type { EventLog, SnapshotStore } from "../../coordinator/ports.js";
import { patiently, testCluster } from "../support/nats-cluster.js";

const replicas = 3;

/** After a server's death; an election takes up to 10 s. */
const standstillMsMax = 60_000;

/** Turns between two snapshots, and turns that a cut leaves for those who are behind. */
const saveEvery = 100;
const turnsKept = 50;

/** The name of each turn by its sequence: what the log folds into. */
type State = Map<number, string>;

interface Stores {
  readonly log: EventLog;
  readonly snapshots: SnapshotStore;
}

async function openStores(connection: NatsConnection): Promise<Stores> {
  const log = await openEventLog(connection, "test", { replicas });
  return { log, snapshots: await openSnapshots(connection, "test", { replicas }) };
}

function apply(state: State, [event]: readonly FarmEvent[], sequence: number): void {
  assert.equal(sequence, state.size + 1, "no turn is left out and none comes twice");
  assert.equal(event?.type, "WorkerDrained");
  state.set(sequence, event.worker);
}

async function newestState({ snapshots }: Stores): Promise<State> {
  const newest = await snapshots.newest();
  const state: State = new Map(JSON.parse(newest?.text ?? "[]"));
  assert.equal(state.size, newest?.sequence ?? 0);
  return state;
}

/** Why the writer began anew, for who has to find out why it stands still. */
interface Trouble {
  last: string;
}

/** Begins anew whenever it must, until the signal aborts; a cut may have overtaken a reader. */
async function untilAborted(
  signal: AbortSignal,
  work: () => Promise<void>,
  trouble: Trouble = { last: "" },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch (error) {
      const { code, message } = asFarmError(error);
      if (!["UNAVAILABLE", "IO"].includes(code)) throw error;
      trouble.last = `${new Date().toISOString()} ${message}`;
      await sleep(50);
    }
  }
}

/** Appends turn after turn, each with a name of its own, and keeps what was acknowledged. */
function write(
  { log, snapshots }: Stores,
  acknowledged: State,
  signal: AbortSignal,
  trouble: Trouble,
): Promise<void> {
  let number = 0;
  const work = async () => {
    const state = await newestState({ log, snapshots });
    await log.replay(state.size, (events, sequence) => apply(state, events, sequence));
    while (!signal.aborted) {
      const turn = [{ type: "WorkerDrained", at: 1, worker: `turn ${++number}` }] as const;
      const sequence = await log.append(turn, state.size);
      apply(state, turn, sequence);
      acknowledged.set(sequence, turn[0].worker);
      if (sequence % saveEvery !== 0) continue;
      await snapshots.save(sequence, JSON.stringify([...state]));
      await log.cut(sequence - turnsKept);
    }
  };
  return untilAborted(signal, work, trouble);
}

/** Holds the seat for a moment, time and again; there is never another holder meanwhile. */
async function lead(connection: NatsConnection, id: string, seat: Seat, signal: AbortSignal) {
  const leadership = await patiently(() => openLeadership(connection, "test", { replicas }));
  while (!signal.aborted) {
    const reign = await leadership.campaign({ id, grpc: `${id}:1` }, signal).catch(() => null);
    if (reign === null) return;
    assert.equal(seat.holder, null, `${id} leads while another one does`);
    seat.holder = id;
    seat.reigns += 1;
    await Promise.race([reign.lost, sleep(2_000)]).catch(() => {});
    seat.holder = null;
    await reign.resign();
  }
}

interface Seat {
  holder: string | null;
  reigns: number;
}

interface Writing {
  readonly acknowledged: State;
  readonly trouble: Trouble;
  /** Of all that goes on meanwhile. */
  readonly ended: Promise<unknown>;
}

/** Resolves once so many more turns are acknowledged. */
async function progress({ acknowledged, trouble, ended }: Writing, turns: number) {
  const goal = acknowledged.size + turns;
  const endMs = performance.now() + standstillMsMax;
  while (acknowledged.size < goal) {
    const now = new Date().toISOString();
    assert.ok(performance.now() < endMs, `appends do not go on at ${now}: ${trouble.last}`);
    await Promise.race([sleep(20), ended]);
  }
}

test("no server's death loses an acknowledged turn or makes two leaders", async (t) => {
  const cluster = await testCluster(t);
  const connections = [await cluster.connect(), await cluster.connect(), await cluster.connect()];
  const [own, other, third] = connections;
  assert.ok(own && other && third);
  const stop = new AbortController();
  const writing = new AbortController();
  t.after(() => {
    writing.abort();
    stop.abort();
  });
  const acknowledged: State = new Map();
  const trouble: Trouble = { last: "" };
  const stores = await patiently(() => openStores(own));
  const readers = await patiently(() => openStores(other));
  let followed: State = new Map();
  const following = untilAborted(stop.signal, async () => {
    const state = await newestState(readers);
    followed = state;
    const onTurn = (events: readonly FarmEvent[], at: number) => apply(state, events, at);
    await readers.log.follow(state.size, onTurn, stop.signal);
  });
  const seat: Seat = { holder: null, reigns: 0 };
  const leading = [lead(other, "a", seat, stop.signal), lead(third, "b", seat, stop.signal)];
  const writer = write(stores, acknowledged, writing.signal, trouble);
  const everyone = Promise.all([following, writer, ...leading]);
  everyone.catch(() => {});
  const underway: Writing = { acknowledged, trouble, ended: everyone };

  await progress(underway, 150);
  for (const server of cluster.servers) {
    await server.kill();
    const startMs = performance.now();
    await progress(underway, 50);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    t.diagnostic(`50 turns more, ${seconds} s after the death of ${server.name}`);
    server.start();
    await cluster.ready();
  }
  await progress(underway, 150);
  writing.abort();
  await writer;
  const state = await patiently(() => newestState(readers));
  await readers.log.replay(state.size, (events, at) => apply(state, events, at));
  while (followed.size < state.size) await Promise.race([sleep(20), following]);
  stop.abort(new Error("over"));
  await everyone;
  t.diagnostic(`${acknowledged.size} turns acknowledged, ${state.size} in the log`);
  t.diagnostic(`${seat.reigns} reigns, one at a time`);
  const manager = await own.jetstreamManager();
  for await (const { config } of manager.streams.list()) {
    assert.equal(config.num_replicas, replicas, config.name);
  }
  for (const [sequence, name] of acknowledged) assert.equal(state.get(sequence), name);
  assert.equal(new Set(state.values()).size, state.size, "no turn is there twice");
  assert.deepEqual(followed, state);
});
