// The one stream to the coordinator. The agent dials and dials again, for ever: each try on a
// channel of its own (one that hangs in a black hole would keep the next try waiting) and with a
// limit until the coordinator's Welcome. What must not be lost is the agent's to say again in the
// next Hello.
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { backoffMs } from "../common/backoff.js";
import { monotonicClock, sleep } from "../common/clock.js";
import { FarmError } from "../common/errors.js";
import type { Log } from "../common/log.js";
import { createClient, readStream, toFarmError } from "../common/rpc.js";
import type { Duration } from "../proto/gen/google/protobuf/duration.js";
import {
  type CancelAttempt,
  type ConnectRequest,
  type ConnectResponse,
  type Hello,
  type Lease,
  type Progress,
  type Welcome,
  WorkerLinkClient,
} from "../proto/gen/tocafarm/v1/worker.js";

export interface LinkOptions {
  /** HOST:PORT. */
  readonly coordinator: string;
  readonly log: Log;
  /** What a new connection begins with, asked anew for each. */
  readonly hello: () => Hello;
  readonly progress: () => Progress;
  readonly onLease: (lease: Lease) => void;
  readonly onCancel: (cancel: CancelAttempt) => void;
  /** In [0, 1), for the jitter between tries. */
  readonly random: () => number;
}

type Message = NonNullable<ConnectRequest["message"]>;
type Call = ClientDuplexStream<ConnectRequest, ConnectResponse>;

// grpc-js has no limit of its own for a connection that nobody answers.
const welcomeMsMax = 10_000;
const redialBackoff = { baseMs: 100, maxMs: 5_000 };
// Two reports of progress a second are as much as anyone can watch.
const progressGapMs = 500;
// Without a period from the coordinator, its documented default.
const progressPeriodMsDefault = 2_000;

/** Life cycle: start, then stop. */
export class Link {
  readonly #options: LinkOptions;
  readonly #stopping = new AbortController();
  #call: Call | undefined;
  #welcomed = false;
  #periodMs = progressPeriodMsDefault;
  #progressTimer: NodeJS.Timeout | undefined;
  #progressDueMs = Number.POSITIVE_INFINITY;
  #progressSaidMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> = Promise.resolve();

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Sends on the present stream, if there is one; whether it arrived is not known. */
  send(message: Message): void {
    this.#call?.write({ message });
  }

  /** Reports progress now: a device waits for work. */
  progressNow(): void {
    this.#scheduleProgress(0);
  }

  /** Reports progress within half a second. */
  progressSoon(): void {
    this.#scheduleProgress(this.#progressSaidMs + progressGapMs - monotonicClock.now());
  }

  /**
   * Ends the stream after what was sent, gives the coordinator until the deadline, and hangs up.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    this.#call?.end();
    const hangUp = setTimeout(() => this.#call?.cancel(), graceMs);
    await this.#running;
    clearTimeout(hangUp);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { log, coordinator, random } = this.#options;
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      const { error, welcomed } = await this.#session();
      if (signal.aborted) return;
      if (welcomed) attempt = 1;
      const waitMs = backoffMs(attempt, random(), redialBackoff);
      const { code, message } = error;
      log.warn({ coordinator, code, reason: message, waitMs }, "no link to the coordinator");
      await sleep(waitMs, signal).catch(() => {});
    }
  }

  /** One connection, from Hello to its end. */
  async #session(): Promise<{ readonly error: FarmError; readonly welcomed: boolean }> {
    const client = createClient(WorkerLinkClient, this.#options.coordinator);
    const call = client.connect();
    call.on("error", () => {}); // the reading loop meets it too, and decides
    const unanswered = setTimeout(() => call.cancel(), welcomeMsMax);
    this.#call = call;
    this.send({ $case: "hello", value: this.#options.hello() });
    let error = new FarmError("UNAVAILABLE", "the coordinator ended the stream");
    try {
      for await (const { message } of readStream<ConnectResponse>(call)) {
        clearTimeout(unanswered);
        this.#onMessage(message);
      }
    } catch (thrown) {
      error = toFarmError(thrown);
    }
    clearTimeout(unanswered);
    clearTimeout(this.#progressTimer);
    const welcomed = this.#welcomed;
    this.#welcomed = false;
    this.#call = undefined;
    client.close();
    return { error, welcomed };
  }

  #onMessage(message: ConnectResponse["message"]): void {
    switch (message?.$case) {
      case "welcome":
        this.#onWelcome(message.value);
        break;
      case "lease":
        this.#options.onLease(message.value);
        break;
      case "cancel":
        this.#options.onCancel(message.value);
        break;
      case undefined:
        this.#options.log.debug("a message of a newer coordinator was passed over");
    }
  }

  #onWelcome({ progressPeriod, term }: Welcome): void {
    const askedMs = durationMs(progressPeriod);
    this.#periodMs = askedMs > 0 ? askedMs : progressPeriodMsDefault;
    this.#welcomed = true;
    const { coordinator, log } = this.#options;
    log.info({ coordinator, term: String(term), periodMs: this.#periodMs }, "linked");
    this.#sayProgress();
  }

  #scheduleProgress(inMs: number): void {
    if (!this.#welcomed) return;
    const dueMs = monotonicClock.now() + Math.max(0, inMs);
    if (dueMs >= this.#progressDueMs) return;
    this.#progressDueMs = dueMs;
    clearTimeout(this.#progressTimer);
    this.#progressTimer = setTimeout(() => this.#sayProgress(), Math.max(0, inMs));
  }

  #sayProgress(): void {
    this.#progressSaidMs = monotonicClock.now();
    this.#progressDueMs = Number.POSITIVE_INFINITY;
    // A stream that takes nothing would only gather stale reports.
    if (this.#call?.writableNeedDrain !== true) {
      this.send({ $case: "progress", value: this.#options.progress() });
    }
    // Half of the allowed period, so that one late timer does not cost a lease.
    this.#scheduleProgress(this.#periodMs / 2);
  }
}

function durationMs(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
