// The one stream to the coordinator that leads. The agent dials and dials again, for ever: each try
// on a channel of its own (one that hangs in a black hole would keep the next try waiting) and with
// a limit until the Welcome. A leader that falls silent is noticed by pings, since it has nothing
// to say of its own. What must not be lost is the agent's to say again in the next Hello.
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { monotonicClock, sleep } from "../common/clock.js";
import { parseAddress } from "../common/config.js";
import { FarmError } from "../common/errors.js";
import type { Log } from "../common/log.js";
import { createClient, readStream, toFarmError } from "../common/rpc.js";
import type { Duration } from "../proto/gen/google/protobuf/duration.js";
import {
  type Canary,
  type CancelAttempt,
  type ConnectRequest,
  type ConnectResponse,
  type CutAttempt,
  type Hello,
  type Lease,
  type Progress,
  type Welcome,
  WorkerLinkClient,
} from "../proto/gen/tocafarm/v1/worker.js";
import { DialOrder, type DialOutcome } from "./dial-order.js";

export interface LinkOptions {
  /** HOST:PORT of each, one at least. */
  readonly coordinators: readonly string[];
  readonly log: Log;
  /** What a new connection begins with, asked anew for each. */
  readonly hello: () => Hello;
  readonly progress: () => Progress;
  readonly onLease: (lease: Lease) => void;
  readonly onCancel: (cancel: CancelAttempt) => void;
  readonly onCut: (cut: CutAttempt) => void;
  readonly onCanary: (canary: Canary) => void;
  /** In [0, 1), for the jitter between tries. */
  readonly random: () => number;
}

type Message = NonNullable<ConnectRequest["message"]>;
type Call = ClientDuplexStream<ConnectRequest, ConnectResponse>;

// A leader that stands still is noticed while a standby takes over.
const silenceMsMax = 4_500;
// Two reports of progress a second are as much as anyone can watch.
const progressGapMs = 500;
// Without a period from the coordinator, its documented default.
const progressPeriodMsDefault = 2_000;

/** Life cycle: start, then stop. */
export class Link {
  readonly #options: LinkOptions;
  readonly #stopping = new AbortController();
  readonly #order: DialOrder;
  #call: Call | undefined;
  #welcomed = false;
  #periodMs = progressPeriodMsDefault;
  #progressTimer: NodeJS.Timeout | undefined;
  #progressDueMs = Number.POSITIVE_INFINITY;
  #progressSaidMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> = Promise.resolve();

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#order = new DialOrder(options.coordinators);
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
    const { log, random } = this.#options;
    while (!signal.aborted) {
      const coordinator = this.#order.address;
      const { error, outcome } = await this.#session(coordinator);
      if (signal.aborted) return;
      const waitMs = this.#order.ended(outcome, monotonicClock.now(), random());
      const { code, message } = error;
      const next = { waitMs, next: this.#order.address };
      log.warn({ coordinator, code, reason: message, ...next }, "no link to the coordinator");
      await sleep(waitMs, signal).catch(() => {});
    }
  }

  /** One connection, from Hello to its end. */
  async #session(address: string): Promise<{ error: FarmError; outcome: DialOutcome }> {
    const client = createClient(WorkerLinkClient, address, { silenceMsMax });
    const call = client.connect();
    call.on("error", () => {}); // the reading loop meets it too, and decides
    let outcome: DialOutcome = { type: "refused" };
    const unanswered = setTimeout(() => {
      outcome = { type: "silent" };
      call.cancel();
    }, this.#order.welcomeMs);
    this.#call = call;
    this.send({ $case: "hello", value: this.#options.hello() });
    let error = new FarmError("UNAVAILABLE", "the coordinator ended the stream");
    try {
      for await (const { message } of readStream<ConnectResponse>(call)) {
        clearTimeout(unanswered);
        if (message?.$case === "redirect") {
          outcome = { type: "redirected", leader: checkedAddress(message.value.leader) };
          error = new FarmError("UNAVAILABLE", "the coordinator does not lead");
          break;
        }
        if (message?.$case === "welcome") outcome = { type: "broken" }; // once it ends
        this.#onMessage(message, address);
      }
    } catch (thrown) {
      error = toFarmError(thrown);
      if (error.code === "ALREADY_EXISTS") outcome = { type: "replaced" };
    }
    clearTimeout(unanswered);
    clearTimeout(this.#progressTimer);
    this.#welcomed = false;
    this.#call = undefined;
    client.close();
    return { error, outcome };
  }

  #onMessage(message: ConnectResponse["message"], address: string): void {
    switch (message?.$case) {
      case "welcome":
        this.#onWelcome(message.value, address);
        break;
      case "lease":
        this.#options.onLease(message.value);
        break;
      case "cancel":
        this.#options.onCancel(message.value);
        break;
      case "cut":
        this.#options.onCut(message.value);
        break;
      case "canary":
        this.#options.onCanary(message.value);
        break;
      case "redirect":
      case undefined:
        this.#options.log.debug("a message of a newer coordinator was passed over");
    }
  }

  #onWelcome({ progressPeriod, term }: Welcome, coordinator: string): void {
    const askedMs = durationMs(progressPeriod);
    this.#periodMs = askedMs > 0 ? askedMs : progressPeriodMsDefault;
    this.#welcomed = true;
    this.#order.welcomed();
    const told = { coordinator, term: String(term), periodMs: this.#periodMs };
    this.#options.log.info(told, "linked");
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

/** Where the coordinator says that the leader is; "" for what nobody could dial. */
function checkedAddress(text: string): string {
  try {
    parseAddress(text);
    return text;
  } catch {
    return "";
  }
}
