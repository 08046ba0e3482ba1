// One world: the real core under coordinators, agents, users and faults of a scenario, in virtual
// time. Whatever is written to the log is checked at once; the first promise that is not kept ends
// the run with a Violation.

import { AssertionError } from "../common/assert.js";
import type { Command, Decision, Effect } from "../coordinator/core/commands.js";
import type { Failure, FarmEvent } from "../coordinator/core/events.js";
import { type Farm, handle, openFarm } from "../coordinator/core/farm.js";
import type { ModelInfo } from "../coordinator/core/liveness.js";
import type { State } from "../coordinator/core/state.js";
import { type AgentWorld, SimulatedAgent } from "./agent.js";
import type { Ledger } from "./checkers/ledger.js";
import { deviceName, type LedgerListener } from "./checkers/records.js";
import { promised, Violation } from "./checkers/violation.js";
import { Client, weightsDigestOf } from "./client.js";
import type { LeaseMessage } from "./connection.js";
import { type CoordinatorWorld, type LeaseGranted, SimulatedCoordinator } from "./coordinator.js";
import { Dialler } from "./dialler.js";
import type { HeldAttempt } from "./engine.js";
import { befall } from "./incidents.js";
import type { Handle, SimulatedLeader } from "./leader.js";
import { SimulatedLog, SimulatedSeat } from "./log.js";
import { type Random, seededRandom } from "./random.js";
import type { BatchSpec, Scenario, Timing } from "./scenario.js";
import { passName, SimulatedStore } from "./store.js";
import { Timeline } from "./timeline.js";
import { Watch, type WatchOptions } from "./watch.js";

/** After the last clip, for what comes late. */
const afterglowMs = 15_000;

/** How often operators look after what they hold back, once all is quiet. */
const settleMs = 10_000;

export interface WorldOptions extends WatchOptions {
  /** The real core unless a test brings one with a mistake. */
  readonly handle?: Handle;
  /** Mean time between two snapshots, each held against a replay. */
  readonly snapshotMs: number;
  /** What happens, line by line. */
  readonly onLine?: (line: string) => void;
}

export class World implements CoordinatorWorld, AgentWorld {
  readonly scenario: Scenario;
  readonly timeline = new Timeline();
  readonly watch: Watch;
  readonly ledger: Ledger;
  readonly seat = new SimulatedSeat();
  readonly store = new SimulatedStore();
  readonly timing: Timing;
  readonly handle: Handle;
  readonly log: SimulatedLog;
  readonly client: Client;
  readonly coordinators: readonly SimulatedCoordinator[];
  readonly agents: readonly SimulatedAgent[];
  readonly diallers: readonly Dialler[];
  readonly #options: WorldOptions;
  readonly #batchSpecs = new Map<string, BatchSpec>();
  readonly #models = new Map<string, ModelInfo>();
  readonly #random: Random;
  /** How many will come. */
  readonly #submits: number;

  constructor(scenario: Scenario, options: WorldOptions) {
    this.scenario = scenario;
    this.timing = scenario.timing;
    this.#submits = scenario.incidents.filter((incident) => incident.do === "submit").length;
    this.#options = options;
    this.handle = options.handle ?? handle;
    this.watch = new Watch(scenario, options);
    this.ledger = this.watch.ledger;
    const random = seededRandom(scenario.seed);
    this.#random = random.fork("looks");
    const { timeline, ledger, seat } = this;
    const { linkMs, appendMs } = scenario.timing;
    this.log = new SimulatedLog({
      timeline,
      random: random.fork("log"),
      appendMs,
      onCommit: (events, sequence) => this.#commit(events, sequence),
    });
    this.coordinators = Array.from(
      { length: scenario.coordinators },
      (_, index) => new SimulatedCoordinator(index, this, random.fork(`coordinator ${index}`)),
    );
    const { coordinators } = this;
    this.agents = scenario.agents.map((spec) => new SimulatedAgent(spec, this));
    this.diallers = this.agents.map(
      (agent) =>
        new Dialler({
          agent,
          coordinators,
          timeline,
          random: random.fork(`link of ${agent.spec.id}`),
          linkMs,
        }),
    );
    this.client = new Client({
      timeline,
      random: random.fork("client"),
      coordinators,
      seat,
      ledger,
      linkMs,
    });
    ledger.listeners.push(this.#janitor());
  }

  /** Lets everything happen, until every clip has ended. Throws the first Violation. */
  run(): void {
    const { incidents, agents, quietAtMs, endsByMs } = this.scenario;
    for (const coordinator of this.coordinators) coordinator.start();
    for (const [index, agent] of this.agents.entries()) {
      const dialler = this.diallers[index];
      const joinsAtMs = agents[index]?.joinsAtMs ?? 0;
      if (!dialler || !Number.isFinite(joinsAtMs)) continue;
      this.timeline.after(joinsAtMs, () => this.startAgent(agent, dialler));
    }
    for (const incident of incidents) {
      this.timeline.after(incident.atMs, () => {
        this.#say(() => `incident ${JSON.stringify(incident)}`);
        befall(this, incident);
      });
    }
    if (quietAtMs !== null) this.timeline.after(quietAtMs, () => this.#settle());
    this.#lookAtDevices();
    this.#lookAtState();
    try {
      while (!this.#isDone() && this.timeline.step(endsByMs));
      const over = this.timeline.nowMs + afterglowMs;
      while (this.timeline.step(over));
    } catch (thrown) {
      if (!(thrown instanceof AssertionError)) throw thrown;
      throw new Violation("the core's own assertions hold", thrown.message, { cause: thrown });
    }
    promised(this.#isDone(), "every clip ends", () => this.#unfinished());
    const leader = this.#settledLeader();
    if (leader !== undefined) this.watch.conclude(leader, this.log);
  }

  startAgent(agent: SimulatedAgent, dialler: Dialler): void {
    agent.start();
    dialler.start();
  }

  // ---- what coordinators need

  openFarm(state: State, now: number): Farm {
    return openFarm(state, this.scenario.rules, now);
  }

  onDecided(command: Command, decision: Decision, farm: Farm): void {
    this.watch.onDecided(command, decision, farm);
  }

  onTurn(_events: readonly FarmEvent[], effects: readonly Effect[], farm: Farm): void {
    this.watch.onTurn(effects, farm, this.log);
  }

  leaseMessage(event: LeaseGranted, farm: Farm): LeaseMessage {
    const { batch, clip, attempt, device, preview, segment, resumeStep } = event;
    const logged = (this.ledger.batches.get(batch)?.attempts[clip] ?? 0) >= attempt;
    promised(logged, "what was told is in the log", () => `lease ${batch}/${clip}/${attempt}`);
    const stored = farm.state.batches.get(batch)?.clips.get(clip)?.checkpoint;
    const resume =
      resumeStep > 0 && stored ? { step: resumeStep, artifact: stored.artifact } : null;
    return { ref: { batch, clip, attempt }, device, preview, segment, resume };
  }

  // ---- what agents need

  batchSpec(batch: string): BatchSpec {
    const known = this.#batchSpecs.get(batch);
    if (known) return known;
    const spec = this.client.submitted.find(({ id }) => id === batch)?.spec;
    if (spec === undefined) throw new Violation("batches are accepted first", `lease of ${batch}`);
    this.#batchSpecs.set(batch, spec);
    return spec;
  }

  modelInfo(name: string): ModelInfo {
    const known = this.#models.get(name);
    if (known) return known;
    const configs = {
      transformerConfig: "{}",
      vaeConfig: "{}",
      textEncoderConfig: "{}",
      modelIndex: "",
    };
    const info = { name, weightsDigest: weightsDigestOf(name), ...configs };
    this.#models.set(name, info);
    return info;
  }

  onBegun(attempt: HeldAttempt): void {
    this.ledger.begin(attempt.lease.ref);
  }

  onEnded(agent: SimulatedAgent, attempt: HeldAttempt, failure: Failure | null): void {
    const { batch, clip, attempt: number } = attempt.lease.ref;
    this.#say(() => `${agent.spec.id} ends ${batch}/${clip}/${number}: ${failure?.code ?? "done"}`);
  }

  // ----

  #commit(events: readonly FarmEvent[], sequence: number): void {
    for (const event of events) {
      this.#say(() => `log ${sequence} ${describe(event)}`);
      this.watch.onLogged(event, sequence);
      if (event.type === "PreviewPublished") this.#approveLater(event);
    }
  }

  /** From time to time: whether a device idles beside something that it could do. */
  #lookAtDevices(): void {
    const { timeline, agents, diallers, coordinators } = this;
    const asking: string[] = [];
    let at = 0;
    for (const [index, agent] of agents.entries()) {
      const dialler = diallers[index];
      const coordinator = coordinators[dialler?.coordinator ?? 0];
      if (!dialler?.linked || !coordinator?.hears || !agent.process.awake) continue;
      at = Math.max(at, coordinator.leader?.now ?? 0);
      for (const device of agent.asking())
        asking.push(deviceName({ worker: agent.spec.id, device }));
    }
    this.watch.lookAtDevices(timeline.nowMs, at, asking);
    timeline.after(this.#options.lookMs, () => this.#lookAtDevices());
  }

  /**
   * From time to time: whether a replay gives the same, and a snapshot to begin the next one from.
   */
  #lookAtState(): void {
    const leader = this.#settledLeader();
    if (leader !== undefined) this.watch.lookAtState(leader, this.log);
    this.timeline.after(this.#random.exponential(this.#options.snapshotMs), () =>
      this.#lookAtState(),
    );
  }

  /** The leader, if all that it knows is in the log and all of the log is known to it. */
  #settledLeader(): SimulatedLeader | undefined {
    const { log } = this;
    return this.coordinators
      .flatMap(({ leader }) => leader ?? [])
      .find((leader) => leader.settled && leader.farm.state.sequence === log.last);
  }

  /** Deletes checkpoints that are of no use to anybody, as a leader does. */
  #janitor(): LedgerListener {
    const { store, ledger } = this;
    return {
      onRelease: ({ event }, _, end) => {
        if (end === "done") store.forgetAllBut(null, passName(event));
      },
      onEvent: (event) => {
        if (event.type !== "CheckpointStored") return;
        const lease = ledger.holder(event);
        if (lease) store.forgetAllBut(event.checkpoint.artifact.key, passName(lease.event));
      },
    };
  }

  #approveLater({ batch, clip }: { readonly batch: string; readonly clip: number }): void {
    const { approveAfterMs } = this.batchSpec(batch);
    if (approveAfterMs === null) return;
    this.timeline.after(approveAfterMs, () =>
      this.client.ask({ type: "approve", batch, clips: [[clip, clip]] }),
    );
  }

  /** Nothing goes wrong any more; what an operator holds back is given free, again and again. */
  #settle(): void {
    const { client, ledger, timeline } = this;
    for (const worker of ledger.drained) client.ask({ type: "drain_worker", worker, undo: true });
    for (const name of ledger.quarantined) {
      const [worker = "", device = ""] = name.split("/");
      client.ask({ type: "release_device", worker, device });
    }
    for (const [batch, { paused, open }] of ledger.unfinished) {
      if (paused) client.ask({ type: "resume", batch });
      const waits = [...open.values()].some((clip) => clip.previewed && !clip.approved);
      if (waits) client.ask({ type: "approve", batch, clips: [] });
    }
    timeline.after(settleMs, () => this.#settle());
  }

  #isDone(): boolean {
    const { timeline, client, ledger, scenario } = this;
    const quiet = timeline.nowMs >= (scenario.quietAtMs ?? 0);
    const submitted = client.submitted.length === this.#submits;
    return quiet && submitted && ledger.unfinished.size === 0 && client.pending === 0;
  }

  #unfinished(): string {
    const batches = [...this.ledger.unfinished.values()].map((batch) => {
      const { fresh, waiting, open, accepted } = batch;
      return `${accepted.batch}: ${fresh} fresh, ${waiting.size} of ${open.size} open clips wait`;
    });
    return `${batches.join("; ")}; ${this.client.pending} questions wait`;
  }

  #say(line: () => string): void {
    this.#options.onLine?.(`${(this.timeline.nowMs / 1000).toFixed(3)} s  ${line()}`);
  }
}

/** An event in a line. */
function describe({ type, at: _, ...rest }: FarmEvent): string {
  const text = JSON.stringify(rest);
  return `${type} ${text.length > 200 ? `${text.slice(0, 200)}...` : text}`;
}
